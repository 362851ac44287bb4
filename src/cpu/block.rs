use super::elementwise::{activate, differentiate};
use super::{PARALLEL_FROM, Views, at_least, for_row_blocks, light_rows};
use crate::kernel::block::{Block, Over};
use crate::network::Normalization;
use crate::plan::ScheduleEntry;
use crate::random::stays;
use crate::real::Real;
use rayon::prelude::*;

/// The kernels around `f(W x + b)`; each formula stands with its shader.
pub(super) fn block<T: Real>(
    dims: [usize; 4],
    block: Block,
    hyper: [f32; 4],
    mut views: Views<'_, T>,
    scratch: &mut Vec<T>,
) {
    let [rows, cols, second, _] = dims;
    let size = rows * cols;
    match block {
        Block::Statistics(Over::Rows) => {
            let (z, statistics) = (views.read(0), views.write(1));
            let (means, variances) = statistics.split_at_mut(rows);
            for_row_blocks(rows, light_rows(cols), [(means, 1), (variances, 1)], |first, [means, variances]| {
                let z = z[first * cols..].chunks_exact(cols);
                for ((mean, variance), row) in means.iter_mut().zip(variances).zip(z) {
                    [*mean, *variance] = moments(row);
                }
            });
        }
        Block::Statistics(Over::Columns) => {
            let entry = views.entry(0);
            let (z, statistics, running) = (views.read(2), views.write(3), views.read(4));
            let (means, variances) = statistics.split_at_mut(cols);
            if entry.flags & ScheduleEntry::TRAINING == 0 {
                means[..cols].copy_from_slice(&running[..cols]);
                variances[..cols].copy_from_slice(&running[second..][..cols]);
                return;
            }
            let live = rows.min(entry.rows as usize);
            let n = T::of(live as f64);
            let z = &z[..live * cols];
            column_sums(z, cols, means, scratch, |_, x| x);
            means.iter_mut().for_each(|mean| *mean = *mean / n);
            column_sums(z, cols, variances, scratch, |j, x| square(x - means[j]));
            variances[..cols].iter_mut().for_each(|variance| *variance = *variance / n);
        }
        Block::Normalize { over, activation, keep } => {
            let (statistics, scale, shift) = (views.read(0), views.read(1), views.read(2));
            let z = views.write(3);
            let (kept, a) = if keep { (views.write(4), views.write(5)) } else { (&mut [][..], views.write(4)) };
            let matrices = [(z, cols), (a, cols), (kept, if keep { cols } else { 0 })];
            for_row_blocks(rows, light_rows(4 * cols), matrices, |first, [z, a, kept]| {
                for (r, (z, n)) in z.chunks_exact_mut(cols).zip(a.chunks_exact_mut(cols)).enumerate() {
                    for (j, (z, n)) in z.iter_mut().zip(n).enumerate() {
                        let item = if over == Over::Rows { first + r } else { j };
                        *z = (*z - statistics[item]) * reach(statistics[second + item]);
                        *n = scale[j] * *z + shift[j];
                    }
                }
                kept.copy_from_slice(&a[..kept.len()]);
                activate(activation, a);
            });
        }
        Block::RunningStatistics => {
            let (cols, second) = (dims[0], dims[1]);
            let entry = views.entry(0);
            let (statistics, running) = (views.read(2), views.write(3));
            let momentum = T::of(f64::from(Normalization::MOMENTUM));
            let unbiased = T::of(f64::from(entry.rows)) / T::of(f64::from(entry.rows.max(2) - 1));
            for j in 0..cols {
                running[j] += momentum * (statistics[j] - running[j]);
                let at = second + j;
                running[at] += momentum * (statistics[cols + j] * unbiased - running[at]);
            }
        }
        Block::NormalizeSums { over: Over::Rows, weighted } => {
            let (delta, normal, sums) = (views.read(0), views.read(1), views.write(2));
            let scale = if weighted { views.read(3) } else { &[] };
            for r in 0..rows {
                let (mut along, mut plain) = (T::zero(), T::zero());
                for j in 0..cols {
                    let weighted = delta[r * cols + j] * scale.get(j).copied().unwrap_or(T::one());
                    along += weighted * normal[r * cols + j];
                    plain += weighted;
                }
                (sums[r], sums[second + r]) = (along, plain);
            }
        }
        Block::NormalizeSums { over: Over::Columns, weighted } => {
            let (delta, normal, sums) = (&views.read(0)[..size], views.read(1), views.write(2));
            let scale = if weighted { views.read(3) } else { &[] };
            let weight = |j: usize| scale.get(j).copied().unwrap_or(T::one());
            let (along, plain) = sums.split_at_mut(second);
            column_sums(delta, cols, plain, scratch, |j, x| weight(j) * x);
            let along = &mut along[..cols];
            along.fill(T::zero());
            for (delta, normal) in delta.chunks_exact(cols).zip(normal.chunks_exact(cols)) {
                for (j, (sum, (&delta, &normal))) in along.iter_mut().zip(delta.iter().zip(normal)).enumerate() {
                    *sum += weight(j) * delta * normal;
                }
            }
        }
        Block::NormalizeDelta(over) => {
            let live = match over {
                Over::Rows => rows,
                Over::Columns => rows.min(views.entry(0).rows as usize),
            };
            let first = if over == Over::Columns { 2 } else { 0 };
            let [sums, statistics, scale, normal] = [0, 1, 2, 3].map(|i| views.read(first + i));
            let delta = views.write(first + 4);
            let counted = if over == Over::Rows { cols } else { live };
            let share = T::one() / T::of(counted as f64);
            let items = over.items(rows, cols);
            for_row_blocks(rows, light_rows(4 * cols), [(delta, cols)], |first, [delta]| {
                for (r, delta) in (first..).zip(delta.chunks_exact_mut(cols)) {
                    if r >= live {
                        delta.fill(T::zero());
                        continue;
                    }
                    for (j, (delta, &normal)) in delta.iter_mut().zip(&normal[r * cols..]).enumerate() {
                        let (item, inside, outside) = match over {
                            Over::Rows => (r, scale[j], T::one()),
                            Over::Columns => (j, T::one(), scale[j]),
                        };
                        let centred = *delta * inside - sums[second + item] * share - normal * (sums[item] * share);
                        *delta = outside * reach(statistics[items + item]) * centred;
                    }
                }
            });
        }
        Block::Join { residual, dropout } => {
            let mask = Mask::of(&views, dropout, hyper);
            let first = if dropout { 2 } else { 0 };
            let (a, y) = (views.read(first), &mut views.write(first + 1)[..size]);
            let x = if residual { views.read(first + 2) } else { &[] };
            y.par_chunks_mut(PARALLEL_FROM).enumerate().for_each(|(part, y)| {
                let start = part * PARALLEL_FROM;
                for (i, y) in (start..).zip(y) {
                    *y = x.get(i).copied().unwrap_or(T::zero()) + mask.at(i) * a[i];
                }
            });
        }
        Block::JoinDelta { activation, residual, dropout } => {
            let mask = Mask::of(&views, dropout, hyper);
            let first = if dropout { 2 } else { 0 };
            let (flow, delta) = (views.write(first), views.write(first + 1));
            let x = if residual { views.read(first + 2) } else { &[] };
            for_row_blocks(rows, light_rows(4 * cols), [(flow, cols), (delta, cols)], |row, [flow, delta]| {
                differentiate(activation, delta);
                for (i, (flow, delta)) in (row * cols..).zip(flow.iter_mut().zip(delta.iter_mut())) {
                    *flow += x.get(i).copied().unwrap_or(T::zero());
                    *delta = *flow * mask.at(i) * *delta;
                }
            });
        }
    }
}

/// Which outputs of a layer stay in a step.
struct Mask<T> {
    rate: f32,
    factor: T,
    layer: u32,
    seed: u32,
}

impl<T: Real> Mask<T> {
    /// The schedule is at binding 0 where there is dropout.
    fn of(views: &Views<'_, T>, dropout: bool, [rate, factor, layer, _]: [f32; 4]) -> Self {
        let entry = if dropout { views.entry(0) } else { ScheduleEntry::default() };
        match entry.flags & ScheduleEntry::TRAINING {
            0 => Mask { rate: 0.0, factor: T::one(), layer: 0, seed: 0 },
            _ => Mask { rate, factor: T::of(f64::from(factor)), layer: layer as u32, seed: entry.seed },
        }
    }

    fn at(&self, index: usize) -> T {
        match self.rate == 0.0 || stays(self.seed, self.layer, index as u32, self.rate) {
            true => self.factor,
            false => T::zero(),
        }
    }
}

/// `sums[j] = Σ_r term(j, matrix[r, j])`: blocks of rows first, then the sums of the blocks, each in order.
fn column_sums<T: Real>(
    matrix: &[T],
    cols: usize,
    sums: &mut [T],
    scratch: &mut Vec<T>,
    term: impl Fn(usize, T) -> T + Sync,
) {
    let rows = matrix.len() / cols;
    let block = light_rows(cols);
    let scratch = at_least(scratch, rows.div_ceil(block) * cols);
    let parts = matrix.par_chunks(block * cols).zip(scratch.par_chunks_mut(cols));
    parts.for_each(|(rows, sums)| {
        sums.fill(T::zero());
        for row in rows.chunks_exact(cols) {
            sums.iter_mut().zip(row).enumerate().for_each(|(j, (sum, &x))| *sum += term(j, x));
        }
    });
    sums[..cols].fill(T::zero());
    for part in scratch.chunks_exact(cols) {
        sums.iter_mut().zip(part).for_each(|(sum, &x)| *sum += x);
    }
}

fn moments<T: Real>(row: &[T]) -> [T; 2] {
    let n = T::of(row.len() as f64);
    let mean = row.iter().copied().sum::<T>() / n;
    let variance = row.iter().map(|&x| square(x - mean)).sum::<T>() / n;
    [mean, variance]
}

fn square<T: Real>(x: T) -> T {
    x * x
}

/// `1 / √(variance + ε)`
fn reach<T: Real>(variance: T) -> T {
    T::one() / (variance + T::of(f64::from(Normalization::EPSILON))).sqrt()
}
