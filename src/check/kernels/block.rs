//! What the kernels around `f(W x + b)` are checked on, and how far they may err: their formulas in [`Bounded`] numbers.

use super::{Contents, live_rows, schedule};
use crate::kernel::block::{Block, Over};
use crate::network::Normalization;
use crate::plan::ScheduleEntry;
use crate::random::stays;
use crate::reference::number::{minus, reach};
use crate::reference::{Bounded, Number};

/// The share that drops out, the factor on the others, the layer.
pub(super) const HYPER: [f32; 4] = [0.375, 1.0 / 0.625, 3.0, 0.0];

pub(super) fn shapes(kernel: Block) -> Vec<[u32; 4]> {
    let shapes = [[1, 1], [5, 3], [17, 10], [65, 7], [3, 300], [257, 2], [2, 1031], [1031, 2]];
    shapes
        .map(|[rows, cols]: [u32; 2]| {
            let apart = |items: u32| items.next_multiple_of(8);
            match kernel {
                Block::RunningStatistics => [cols, apart(cols), 0, 0],
                Block::Statistics(Over::Rows) | Block::Join { .. } | Block::JoinDelta { .. } => [rows, cols, 0, 0],
                Block::Statistics(over @ Over::Columns)
                | Block::Normalize { over, .. }
                | Block::NormalizeSums { over, .. }
                | Block::NormalizeDelta(over) => {
                    [rows, cols, apart(over.items(rows as usize, cols as usize) as u32), 0]
                }
            }
        })
        .to_vec()
}

/// Whether the step of the check trains: with five rows, and where nothing but five rows is asked, it evaluates.
fn trains(rows: usize) -> bool {
    rows != 5
}

fn step(rows: usize) -> [Contents; 2] {
    let [mut entries, clock] = schedule(rows);
    if let (Contents::Words(words), false) = (&mut entries, trains(rows)) {
        let entries: &mut [ScheduleEntry] = bytemuck::cast_slice_mut(words);
        entries.iter_mut().for_each(|entry| entry.flags = 0);
    }
    [entries, clock]
}

fn positive(contents: Contents) -> Contents {
    match contents {
        Contents::Real(values) => Contents::Real(values.into_iter().map(|x| x.abs() + 0.1).collect()),
        other => other,
    }
}

pub(super) fn contents(
    kernel: Block,
    [x, y, z, _]: [usize; 4],
    mut real: impl FnMut(usize, f32) -> Contents,
) -> Vec<Contents> {
    let size = x * y;
    let mut all = match kernel {
        Block::Statistics(Over::Columns) | Block::NormalizeDelta(Over::Columns) | Block::RunningStatistics => {
            step(x).to_vec()
        }
        Block::Join { dropout: true, .. } | Block::JoinDelta { dropout: true, .. } => step(x).to_vec(),
        _ => Vec::new(),
    };
    all.extend(match kernel {
        Block::Statistics(over) => {
            let mut all = vec![real(size, 2.0), Contents::Poison(2 * over.items(x, y))];
            all.extend((over == Over::Columns).then(|| real(z + y, 2.0)));
            all
        }
        Block::Normalize { over, keep, .. } => {
            let statistics = positive(real(z + over.items(x, y), 2.0));
            let mut all = vec![statistics, real(y, 2.0), real(y, 2.0), real(size, 2.0)];
            all.extend(keep.then_some(Contents::Poison(size)));
            all.push(Contents::Poison(size));
            all
        }
        Block::RunningStatistics => vec![positive(real(2 * x, 2.0)), positive(real(y + x, 2.0))],
        Block::NormalizeSums { over, weighted } => {
            let mut all = vec![real(size, 2.0), real(size, 2.0), Contents::Poison(z + over.items(x, y))];
            all.extend(weighted.then(|| real(y, 2.0)));
            all
        }
        Block::NormalizeDelta(over) => {
            let items = over.items(x, y);
            let sums = real(z + items, 2.0);
            vec![sums, positive(real(2 * items, 2.0)), real(y, 2.0), real(size, 2.0), real(size, 2.0)]
        }
        Block::Join { residual, .. } => {
            let mut all = vec![real(size, 2.0), Contents::Poison(size)];
            all.extend(residual.then(|| real(size, 2.0)));
            all
        }
        Block::JoinDelta { activation, residual, .. } => {
            let mut all = vec![real(size, 2.0), super::stored(activation, real(size, 4.0))];
            all.extend(residual.then(|| real(size, 2.0)));
            all
        }
    });
    all
}

pub(super) fn bounds(
    kernel: Block,
    [x, y, z, _]: [usize; 4],
    given: impl Fn(usize) -> Vec<Bounded>,
    mut out: Vec<Vec<f64>>,
) -> Vec<Vec<f64>> {
    let size = x * y;
    let error = |all: &[Bounded]| all.iter().map(|x| x.error).collect::<Vec<f64>>();
    let masked = |i: usize, dropout: bool, number: Bounded| {
        if !dropout || !trains(x) {
            return number;
        }
        // The seed is that of the schedule's entry.
        let stays = stays(5, HYPER[2] as u32, i as u32, HYPER[0]);
        Bounded::given(f64::from(if stays { HYPER[1] } else { 0.0 })) * number
    };
    let over_items = |over: Over, rows: usize, item: usize| -> Vec<usize> {
        match over {
            Over::Rows => (item * y..(item + 1) * y).collect(),
            Over::Columns => (0..rows).map(|r| r * y + item).collect(),
        }
    };
    match kernel {
        Block::Statistics(over) => {
            let (first, rows) = if over == Over::Columns { (2, live_rows(x)) } else { (0, x) };
            let (numbers, items) = (given(first), over.items(x, y));
            out[first + 1] = vec![0.0; 2 * items];
            // The running statistics are copied.
            if over == Over::Columns && !trains(x) {
                return out;
            }
            for item in 0..items {
                let members = over_items(over, rows, item);
                let share = Bounded::factor(1.0 / members.len() as f64);
                let mean = share * Bounded::sum(members.iter().map(|&i| numbers[i]));
                let square = |&i: &usize| {
                    let difference = Bounded::sum([numbers[i], minus(mean)].into_iter());
                    difference * difference
                };
                let variance = share * Bounded::sum(members.iter().map(square));
                (out[first + 1][item], out[first + 1][items + item]) = (mean.error, variance.error);
            }
        }
        Block::Normalize { over, activation, keep } => {
            let (statistics, scale, shift, numbers) = (given(0), given(1), given(2), given(3));
            let (mut normals, mut sums) = (Vec::new(), Vec::new());
            for i in 0..size {
                let item = if over == Over::Rows { i / y } else { i % y };
                let centred = Bounded::sum([numbers[i], minus(statistics[item])].into_iter());
                let normal = centred * reach(statistics[z + item]);
                sums.push(Bounded::sum([scale[i % y] * normal, shift[i % y]].into_iter()));
                normals.push(normal);
            }
            out[3] = error(&normals);
            if keep {
                out[4] = error(&sums);
            }
            out[if keep { 5 } else { 4 }] =
                sums.into_iter().map(|n| Bounded::activation(activation, n).error).collect();
        }
        Block::RunningStatistics => {
            let (statistics, running) = (given(2), given(3));
            let rows = live_rows(x) as f64;
            let unbiased = Bounded::factor(rows / (rows - 1.0).max(1.0));
            let momentum = Bounded::given(f64::from(Normalization::MOMENTUM));
            let moved = |from: Bounded, to: Bounded| {
                let by = momentum * Bounded::sum([to, minus(from)].into_iter());
                Bounded::sum([from, by].into_iter()).error
            };
            out[3] = vec![0.0; y + x];
            for j in 0..x {
                out[3][j] = moved(running[j], statistics[j]);
                out[3][y + j] = moved(running[y + j], unbiased * statistics[x + j]);
            }
        }
        Block::NormalizeSums { over, weighted } => {
            let (delta, normal, items) = (given(0), given(1), over.items(x, y));
            let scale = if weighted { given(3) } else { vec![Bounded::given(1.0); y] };
            out[2] = vec![0.0; z + items];
            for item in 0..items {
                let members = over_items(over, x, item);
                let weighted = |i: usize| scale[i % y] * delta[i];
                out[2][item] = Bounded::sum(members.iter().map(|&i| weighted(i) * normal[i])).error;
                out[2][z + item] = Bounded::sum(members.iter().map(|&i| weighted(i))).error;
            }
        }
        Block::NormalizeDelta(over) => {
            let first = if over == Over::Columns { 2 } else { 0 };
            let [sums, statistics, scale, normal, delta] = [0, 1, 2, 3, 4].map(|i| given(first + i));
            let items = over.items(x, y);
            let live = if over == Over::Columns { live_rows(x) } else { x };
            let counted = if over == Over::Columns { live } else { y };
            let share = Bounded::factor(1.0 / counted as f64);
            out[first + 4] = vec![0.0; size];
            for i in 0..live * y {
                let one = Bounded::given(1.0);
                let (item, inside, outside) = match over {
                    Over::Rows => (i / y, scale[i % y], one),
                    Over::Columns => (i % y, one, scale[i % y]),
                };
                let terms = [delta[i] * inside, minus(sums[z + item] * share), minus(normal[i] * (sums[item] * share))];
                out[first + 4][i] = (outside * reach(statistics[items + item]) * Bounded::sum(terms.into_iter())).error;
            }
        }
        Block::Join { residual, dropout } => {
            let first = if dropout { 2 } else { 0 };
            let (a, beside) = (given(first), if residual { given(first + 2) } else { Vec::new() });
            let sum = |i: usize| {
                let terms = [Some(masked(i, dropout, a[i])), beside.get(i).copied()];
                Bounded::sum(terms.into_iter().flatten()).error
            };
            out[first + 1] = (0..size).map(sum).collect();
        }
        Block::JoinDelta { activation, residual, dropout } => {
            let first = if dropout { 2 } else { 0 };
            let (flow, stored) = (given(first), given(first + 1));
            let beside = if residual { given(first + 2) } else { Vec::new() };
            for i in 0..size {
                let total = Bounded::sum([Some(flow[i]), beside.get(i).copied()].into_iter().flatten());
                out[first].push(total.error);
                let slope = Bounded::derivative(activation, stored[i]);
                out[first + 1].push((masked(i, dropout, total) * slope).error);
            }
        }
    }
    out
}
