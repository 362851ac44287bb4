//! Every kernel and variant against its twin over awkward shapes. Outputs are poisoned with NaN first, and every binding
//! lies between guard bands of NaN: what a kernel forgets to write stays NaN, what it reads beside its binding turns its
//! result into NaN, what it writes there is noticed.

mod block;
mod fused;
mod jet;
pub(super) mod treatment;

use super::mixed::{mixed_bounds, mixed_contents, mixed_shapes};
use super::{Outcome, Tally, resident, update};
use crate::activation::{Activation, Stored};
use crate::compare::{Comparison, compare, half_error};
use crate::cpu::{CpuExecutor, Products};
use crate::device::Device;
use crate::executor::Executor;
use crate::gpu::VariantChoice;
use crate::kernel::{Access, Element, Epilogue, Form, Kernel, Mixed, Uniform, Variant, part_length};
use crate::loss::Loss;
use crate::network::Bias;
use crate::params::ALIGNMENT;
use crate::plan::{Binding, Phase, Plan, ScheduleEntry, Slot, SlotInfo};
use crate::random::{Purpose, generator};
use crate::reference::{Bounded, Number};
use crate::{Error, Result};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::ops::Range;

/// Checks every kernel in each of its variants, with numbers drawn from `seed`; `take` gets each outcome. On the CPU there
/// is one variant, what its executor runs.
pub fn run(device: &Device, seed: u64, take: &mut dyn FnMut(Outcome)) -> Result<()> {
    let mut tallies: BTreeMap<(usize, String), Tally> = BTreeMap::new();
    let order = [
        "gather",
        "matmul",
        "loss",
        "loss_sum",
        "column_sum",
        "update",
        "penalty",
        "clip_value",
        "squares",
        "clip_factor",
        "clip_norm",
        "accumulate",
        "total",
        "average",
        "fused",
        "fused_sum",
        "resident",
        "jet_input",
        "jet_activation",
        "jet_delta",
        "jet_loss",
        "jet_input_gradient",
        "statistics",
        "normalize",
        "running_statistics",
        "normalize_sums",
        "normalize_delta",
        "join",
        "join_delta",
    ];
    for (number, kernel) in Kernel::all().into_iter().enumerate() {
        let variants = device.variants(&kernel).into_iter();
        let wanted = |&variant: &Variant| matches!(device, Device::Cpu) || is_checked(&kernel, number, variant);
        for variant in variants.filter(wanted) {
            let subject = match device {
                Device::Cpu => family(&kernel),
                Device::Gpu(_) => format!("{} {variant}", family(&kernel)),
            };
            let place = order.iter().position(|stem| *stem == kernel.stem()).unwrap_or(order.len());
            let tally = tallies.entry((place, subject.clone())).or_insert_with(|| Tally::new("kernel", subject));
            for dims in sizes(device, &kernel, variant) {
                tally.add(check(device, &kernel, variant, dims, seed, &|_| {})?);
            }
        }
    }
    tallies.into_values().for_each(|tally| take(tally.finish()));
    Ok(())
}

/// An unrolled text knows nothing of the epilogue behind it, and drivers compile the pair slowly: each such variant meets
/// every fifth epilogue, another fifth than the next variant does. Likewise the faster texts of fused networks, and
/// a resident network's workgroups of 1, 16, 64 and 256, whose texts differ by that alone: each network meets one of them.
pub(super) fn is_checked(kernel: &Kernel, number: usize, variant: Variant) -> bool {
    let unrolled = match variant {
        Variant::Broadcast(_) | Variant::Tiled | Variant::Cooperative(_) if matches!(kernel, Kernel::Fused(_)) => {
            return (number + usize::from(variant == Variant::Tiled)).is_multiple_of(3);
        }
        Variant::Broadcast(broadcast) => broadcast.rows as usize / 8 + usize::from(broadcast.reads_vectors()),
        Variant::TiledVector(tile) => tile as usize / 64,
        Variant::Sliced => 3,
        Variant::SlicedVector => 4,
        Variant::Cooperative(matrices) => 2 + usize::from(matrices.vector) + 2 * usize::from(matrices.is_enlarged()),
        Variant::Naive if kernel.repeats() => return (number + 1).is_multiple_of(4),
        Variant::Lanes(lanes) if kernel.repeats() => return (number + lanes.ilog2() as usize / 2).is_multiple_of(4),
        _ => return true,
    };
    let plain = match *kernel {
        Kernel::Matmul { epilogue, .. } | Kernel::Mixed(Mixed::Matmul { epilogue, .. }) => {
            matches!(epilogue, Epilogue::Store | Epilogue::Parts)
        }
        _ => false,
    };
    plain || (number + unrolled).is_multiple_of(5)
}

/// The kernels that share a row of the table.
fn family(kernel: &Kernel) -> String {
    match kernel {
        Kernel::Matmul { form, epilogue } => {
            let what = match epilogue {
                Epilogue::Store => "",
                Epilogue::Parts => " in parts",
                Epilogue::Forward { .. } => " + bias + activation",
                Epilogue::Delta { .. } => " × derivative",
                Epilogue::Update { .. } => " + update",
            };
            format!("matmul_{}{what}", form.name())
        }
        Kernel::Loss { loss, .. } => format!("loss {loss}"),
        Kernel::Mixed(mixed) => mixed.base().map_or(mixed.to_string(), |kernel| format!("f16 {}", family(&kernel))),
        Kernel::Resident(resident) => format!("resident {}", resident.pass.name()),
        Kernel::Fused(kernel) => fused::family(kernel),
        Kernel::Jet(jet) => jet.stem().to_owned(),
        Kernel::Block(block) => block.stem().to_owned(),
        other => other.to_string(),
    }
}

/// 1, primes, and one less and one more than every tile; fewer where only the hook functions differ.
pub(crate) fn shapes(kernel: &Kernel) -> Vec<[u32; 4]> {
    let shapes: &[&[u32]] = match *kernel {
        Kernel::Gather => &[&[1, 1, 1], &[5, 3, 2], &[17, 64, 10], &[65, 7, 1]],
        Kernel::Matmul { epilogue: Epilogue::Store, .. } => &[
            &[1, 1, 1],
            &[1, 65, 3],
            &[2, 3, 5],
            &[4, 4, 4],
            &[7, 13, 17],
            &[15, 16, 17],
            &[16, 36, 20],
            &[17, 15, 1],
            &[36, 32, 12],
            &[63, 65, 64],
            &[64, 64, 64],
            &[65, 63, 15],
            &[1, 257, 33],
            &[68, 132, 36],
            &[130, 1, 71],
            &[33, 10, 131],
        ],
        Kernel::Matmul { epilogue: Epilogue::Parts, .. } => {
            &[&[1, 1, 1, 2], &[3, 5, 7, 2], &[4, 4, 33, 3], &[17, 15, 64, 4], &[36, 68, 131, 5], &[4, 8, 9, 7]]
        }
        Kernel::Matmul { epilogue: Epilogue::Update { .. }, .. } => {
            &[&[1, 1, 1], &[17, 15, 16], &[36, 68, 12], &[63, 65, 31], &[65, 3, 7], &[132, 8, 9], &[8, 132, 131]]
        }
        Kernel::Matmul { .. } => &[&[1, 1, 1], &[17, 15, 16], &[36, 68, 12], &[63, 65, 31], &[65, 3, 7]],
        Kernel::Loss { .. } => &[&[1, 1], &[5, 3, 1], &[17, 10], &[3, 64], &[2, 65, 1], &[3, 259], &[257, 2]],
        Kernel::LossSum => &[&[1], &[7], &[255], &[256], &[257], &[1031]],
        Kernel::ColumnSum => &[&[1, 1], &[1, 65], &[15, 17], &[64, 16], &[65, 15], &[1031, 3], &[131, 131], &[65, 36]],
        Kernel::Update(_) => &[&[1], &[255], &[257], &[1031], &[5132]],
        Kernel::Treatment(kernel) => treatment::shapes(kernel),
        Kernel::Mixed(mixed) => return mixed_shapes(mixed),
        Kernel::Resident(ref resident) => return resident::shapes(resident),
        Kernel::Fused(_) => fused::SHAPES,
        Kernel::FusedSum(ref sum) => return fused::sum_shapes(sum),
        Kernel::Jet(ref kernel) => return jet::shapes(kernel),
        Kernel::Block(kernel) => return block::shapes(kernel),
    };
    let padded = |sizes: &&[u32]| std::array::from_fn(|i| sizes.get(i).copied().unwrap_or(0));
    shapes.iter().map(padded).collect()
}

/// Those of them that `variant` runs on `device`: some drivers allow a loop only so many iterations.
pub(super) fn sizes(device: &Device, kernel: &Kernel, variant: Variant) -> impl Iterator<Item = [u32; 4]> {
    shapes(kernel).into_iter().filter(move |&dims| match device {
        Device::Cpu => kernel.runs(variant, dims),
        Device::Gpu(gpu) => gpu.takes(kernel, dims, variant),
    })
}

/// The largest few of `shapes`: enough to tell a wrong variant before it is timed.
pub(crate) fn largest(mut shapes: Vec<[u32; 4]>) -> Vec<[u32; 4]> {
    shapes.sort_by_key(|dims| std::cmp::Reverse(dims.iter().map(|&dim| u64::from(dim.max(1))).product::<u64>()));
    shapes.truncate(3);
    shapes
}

/// What a binding holds before the dispatch.
#[derive(Clone)]
pub(super) enum Contents {
    Real(Vec<f32>),
    Words(Vec<u32>),
    /// Only written: NaN until then.
    Poison(usize),
}

impl Contents {
    pub(super) fn len(&self) -> usize {
        match self {
            Contents::Real(values) => values.len(),
            Contents::Words(words) => words.len(),
            Contents::Poison(len) => *len,
        }
    }

    pub(super) fn real(&self) -> &[f32] {
        match self {
            Contents::Real(values) => values,
            _ => &[],
        }
    }

    pub(super) fn words(&self) -> &[u32] {
        match self {
            Contents::Words(words) => words,
            _ => &[],
        }
    }
}

/// Elements of NaN on either side of what is bound, so many that halves too begin where a binding may.
const GUARD: usize = 2 * ALIGNMENT;

/// Runs one dispatch of `kernel` and compares all that it wrote. `tamper` may plant a fault into the plan.
pub fn check(
    device: &Device,
    kernel: &Kernel,
    variant: Variant,
    dims: [u32; 4],
    seed: u64,
    tamper: &dyn Fn(&mut Plan),
) -> Result<Result<Vec<Comparison>, String>> {
    let mut rng = generator(seed, Purpose::Epoch(dims.iter().fold(7, |h, &d| h * 131 + u64::from(d))));
    let hyper = match kernel {
        Kernel::Block(_) => block::HYPER,
        _ => update::hyper(kernel, dims[0] % 2 == 1),
    };
    let uniform = Uniform { dims, hyper };
    let contents = contents(kernel, dims, &mut rng);
    let specs = kernel.bindings();
    let slot = Slot::State;
    let infos = specs.iter().zip(&contents).enumerate().map(|(i, (spec, contents))| SlotInfo {
        slot: slot(i),
        len: GUARD + contents.len().next_multiple_of(ALIGNMENT) + GUARD,
        element: spec.element,
    });
    let bindings = contents.iter().enumerate().map(|(i, c)| Binding { slot: slot(i), range: GUARD..GUARD + c.len() });
    let honest = Plan::single(kernel.clone(), uniform, infos.collect(), bindings.collect())?;
    let mut plan = honest.clone();
    tamper(&mut plan);

    let times = match kernel {
        // The clock advances with every step's loss: only a second step can show that it did.
        Kernel::LossSum | Kernel::Mixed(Mixed::LossSum) => 2,
        Kernel::Resident(_) => resident::STEPS,
        _ => 1,
    };
    let mut twin = CpuExecutor::<f64>::new(honest.clone(), Products::Naive)?;
    let mut subject = match device.executor_with(plan, VariantChoice::Forced(variant)) {
        Ok(subject) => subject,
        // A text that this driver refuses: the others are still worth a look, unless the device is lost.
        Err(Error::Device(why)) => {
            device.check()?;
            return Ok(Err(why));
        }
        Err(error) => return Err(error),
    };
    for executor in [&mut twin as &mut dyn Executor, subject.as_mut()] {
        for (i, contents) in contents.iter().enumerate() {
            fill(executor, slot(i), &honest, contents)?;
        }
        executor.run(&[Phase::Forward], times)?;
    }

    let mut bounds = bounds(kernel, &uniform, &contents)?;
    let mut comparisons = Vec::new();
    for (i, spec) in specs.iter().enumerate() {
        if spec.access != Access::Write || spec.element == Element::Word {
            continue;
        }
        let expected = twin.values(slot(i))?;
        let actual = subject.read(slot(i), 0..expected.len())?.wait()?;
        let what = format!("{kernel} {variant} {dims:?}, {}", spec.name);
        widen(&mut bounds[i], spec.element, variant, &expected[GUARD..][..contents[i].len()]);
        match compare_guarded(&what, &actual, expected, &bounds[i]) {
            Ok(comparison) => comparisons.push(comparison),
            Err(failure) => return Ok(Err(failure)),
        }
    }
    Ok(Ok(comparisons))
}

fn fill(executor: &mut dyn Executor, slot: Slot, plan: &Plan, contents: &Contents) -> Result<()> {
    let len = plan.slot(slot).map_or(0, |info| info.len);
    match contents {
        Contents::Words(words) => executor.write_words(slot, GUARD, words),
        Contents::Real(values) => {
            let mut all = vec![f32::NAN; len];
            all[GUARD..][..values.len()].copy_from_slice(values);
            executor.write(slot, 0, &all)
        }
        Contents::Poison(_) => executor.write(slot, 0, &vec![f32::NAN; len]),
    }
}

/// Adds to the bounds what depends on the variant and on how the result is stored.
fn widen(bounds: &mut Vec<f64>, element: Element, variant: Variant, expected: &[f64]) {
    // Matrix units may cut where others round, which errs by twice as much.
    if matches!(variant, Variant::Cooperative(_)) {
        bounds.iter_mut().for_each(|error| *error *= 2.0);
    }
    if element == Element::Half {
        bounds.resize(expected.len(), 0.0);
        bounds.iter_mut().zip(expected).for_each(|(error, &x)| *error = half_error(x, *error));
    }
}

/// Compares what the twin wrote; where the twin left NaN, nothing may have been written. Where the bound is NaN, it is no
/// matter what was.
fn compare_guarded(what: &str, actual: &[f32], expected: &[f64], bounds: &[f64]) -> Result<Comparison, String> {
    let anything = |i: usize| i.checked_sub(GUARD).and_then(|i| bounds.get(i)).is_some_and(|bound| bound.is_nan());
    let mut expected = expected.to_vec();
    let mut actual = actual.to_vec();
    for i in (0..expected.len()).filter(|&i| anything(i)) {
        (expected[i], actual[i]) = (f64::NAN, f32::NAN);
    }
    let written: Vec<usize> = (0..expected.len()).filter(|&i| !expected[i].is_nan()).collect();
    if let Some(stray) = (0..expected.len()).find(|&i| expected[i].is_nan() && !actual[i].is_nan()) {
        return Err(format!(
            "{what}: wrote {:e} to element {}, which is not its own",
            actual[stray],
            stray as isize - GUARD as isize
        ));
    }
    if !bounds.is_empty() && bounds.iter().all(|bound| bound.is_nan()) {
        return Ok(Comparison { worst: 0.0, index: 0, actual: 0.0, expected: 0.0, bound: 0.0 });
    }
    let actual: Vec<f32> = written.iter().map(|&i| actual[i]).collect();
    let bounds: Vec<f64> = written.iter().map(|&i| bounds.get(i - GUARD).copied().unwrap_or(0.0)).collect();
    let expected: Vec<f64> = written.iter().map(|&i| expected[i]).collect();
    compare(what, &actual, &expected, &bounds)
}

pub(super) fn uniform_values(rng: &mut ChaCha8Rng, len: usize, bound: f32) -> Vec<f32> {
    (0..len).map(|_| rng.random_range(-bound..bound)).collect()
}

/// The batch of the check is one row short of the kernel's rows where it has more than one, to exercise padding; its
/// entry is the second of three, at which the clock stands.
fn live_rows(rows: usize) -> usize {
    if rows > 1 { rows - 1 } else { 1 }
}

fn schedule(rows: usize) -> [Contents; 2] {
    let entry = ScheduleEntry {
        corrections: update::CORRECTIONS,
        first: 2,
        seed: 5,
        ..ScheduleEntry::training(LEARNING_RATE, 0.37, live_rows(rows))
    };
    let entries = [ScheduleEntry::default(), entry, ScheduleEntry::default()];
    [Contents::Words(bytemuck::cast_slice(&entries).to_vec()), Contents::Words(vec![1])]
}

/// What the forward pass stores of pre-activations: derivatives are defined on nothing else.
fn stored(activation: Activation, preactivations: Contents) -> Contents {
    match (activation.stored(), preactivations) {
        (Stored::Output, Contents::Real(z)) => Contents::Real(z.into_iter().map(|z| activation.value(z)).collect()),
        (_, as_is) => as_is,
    }
}

pub(super) fn contents(kernel: &Kernel, dims: [u32; 4], rng: &mut ChaCha8Rng) -> Vec<Contents> {
    let [x, y, z, w] = dims.map(|d| d as usize);
    let mut real = |len: usize, bound: f32| Contents::Real(uniform_values(rng, len, bound));
    match *kernel {
        Kernel::Gather => {
            let samples = x + 5;
            let order = (0..x + 2).map(|i| ((i * 7 + 3) % samples) as u32).collect();
            let [schedule, clock] = schedule(x);
            let data = [real(samples * y, 2.0), real(samples * z, 2.0)];
            let [inputs, targets] = data;
            let (to_inputs, to_targets) = (Contents::Poison(x * y), Contents::Poison(x * z));
            vec![schedule, clock, Contents::Words(order), inputs, targets, to_inputs, to_targets]
        }
        Kernel::Matmul { epilogue, .. } => {
            // Wide enough for activations to saturate.
            let mut all = vec![real(x * z, 2.0), real(z * y, 2.0), Contents::Poison(x * y)];
            match epilogue {
                Epilogue::Store => {}
                Epilogue::Parts => all[2] = Contents::Poison(w * x * y),
                Epilogue::Forward { bias, keep, .. } => {
                    if bias != Bias::None {
                        all.push(real(bias.len(y), 2.0));
                    }
                    if keep {
                        all.push(Contents::Poison(x * y));
                    }
                }
                Epilogue::Delta { activation, apart: false } => all[2] = stored(activation, real(x * y, 4.0)),
                Epilogue::Delta { activation, apart: true } => all.push(stored(activation, real(x * y, 4.0))),
                Epilogue::Update { rule, .. } => {
                    let params = kernel.lengths(dims)[2];
                    all[2] = real(params, 2.0);
                    all.extend(schedule(1));
                    all.extend(update::states(rule, || real(params, 2.0)));
                }
            }
            all
        }
        Kernel::Loss { loss, activation } => {
            let [schedule, clock] = schedule(x);
            let outputs = stored(activation, real(x * y, 6.0));
            let mut targets = real(x * (y + z), 1.5);
            if let (Some(_), Contents::Real(targets)) = (loss.expressions(), &mut targets) {
                // Like those that gradients are checked with: a loss of one's own may be defined on such alone.
                targets.iter_mut().for_each(|t| *t = t.abs());
            }
            let mut all = vec![schedule, clock, outputs, targets, Contents::Poison(x)];
            if activation.stored() == Stored::Preactivation {
                all.push(real(x * y, 6.0));
            }
            all
        }
        Kernel::LossSum => vec![real(x, 3.0), Contents::Poison(3), Contents::Words(vec![2])],
        Kernel::ColumnSum => vec![real(x * y, 2.0), Contents::Poison(y)],
        Kernel::Update(rule) => {
            let [schedule, clock] = schedule(1);
            let mut all = vec![schedule, clock, real(x, 2.0), real(x, 2.0)];
            all.extend(update::states(rule, || real(x, 2.0)));
            all
        }
        Kernel::Treatment(kernel) => treatment::contents(kernel, [x, y], real),
        Kernel::Mixed(mixed) => mixed_contents(mixed, dims, rng),
        Kernel::Resident(ref resident) => resident::contents(resident, [x, y, z, w], rng),
        Kernel::Fused(ref kernel) => fused::contents(kernel, dims, real),
        Kernel::FusedSum(ref kernel) => fused::sum_contents(kernel, dims, real),
        Kernel::Jet(ref kernel) => jet::contents(kernel, [x, y, z, w], real),
        Kernel::Block(kernel) => block::contents(kernel, [x, y, z, w], real),
    }
}

/// How far each element that the kernel writes may be from the twin, for each binding in order; derived by computing the
/// kernel's formula in [`Bounded`] numbers.
pub(super) fn bounds(kernel: &Kernel, uniform: &Uniform, contents: &[Contents]) -> Result<Vec<Vec<f64>>> {
    let given = |i: usize| -> Vec<Bounded> {
        contents.get(i).map_or(&[][..], Contents::real).iter().map(|&x| Bounded::given(x.into())).collect()
    };
    let errors = |all: Vec<Bounded>| -> Vec<f64> { all.into_iter().map(|x| x.error).collect() };
    let [x, y, z, w] = uniform.dims.map(|d| d as usize);
    let mut out = vec![Vec::new(); contents.len()];
    match *kernel {
        // Copies are exact.
        Kernel::Gather => {}
        Kernel::Matmul { form, epilogue } => {
            let (a, b) = (given(0), given(1));
            let (bias, biases) = match epilogue {
                Epilogue::Forward { bias, .. } => (bias, given(3)),
                _ => (Bias::None, Vec::new()),
            };
            if epilogue == Epilogue::Parts {
                let length = part_length(z as u64, w as u64) as usize;
                let part = |part: usize| (part * length).min(z)..((part + 1) * length).min(z);
                let sums = |terms| product([x, y, z], form, terms, &a, &b, |_| None);
                out[2] = (0..w).flat_map(|i| errors(sums(part(i)))).collect();
                return Ok(out);
            }
            let sums = product([x, y, z], form, 0..z, &a, &b, |j| match bias {
                Bias::PerUnit => Some(biases[j]),
                Bias::Shared => Some(biases[0]),
                Bias::None => None,
            });
            match epilogue {
                Epilogue::Store | Epilogue::Parts => out[2] = errors(sums),
                Epilogue::Forward { activation, bias, keep } => {
                    if keep {
                        out[if bias == Bias::None { 3 } else { 4 }] = errors(sums.clone());
                    }
                    out[2] = errors(sums.into_iter().map(|z| Bounded::activation(activation, z)).collect());
                }
                Epilogue::Delta { activation, apart } => {
                    let deltas = sums.into_iter().zip(given(if apart { 3 } else { 2 }));
                    out[2] = errors(deltas.map(|(sum, s)| sum * Bounded::derivative(activation, s)).collect());
                }
                Epilogue::Update { rule, .. } => {
                    let columns = (0..x).map(|i| Bounded::sum(a.iter().skip(i).step_by(x).copied()));
                    let biases =
                        epilogue.bias_behind(x * y).into_iter().flat_map(|first| (first..).zip(columns.clone()));
                    let gradients = sums.into_iter().enumerate().chain(biases);
                    update::bounds(rule, uniform.hyper, gradients, &given, (2, 5), &mut out);
                }
            }
        }
        Kernel::Loss { loss, activation } => {
            let (outputs, targets) = (given(2), given(3));
            let stored = if activation.stored() == Stored::Preactivation { given(5) } else { outputs.clone() };
            for r in 0..x {
                let target = &targets[r * (y + z)..][..y + z];
                let scale = Bounded::given(f64::from(0.37f32));
                let scale = target.get(y).map_or(scale, |&weight| scale * weight);
                let range = r * y..(r + 1) * y;
                if r >= live_rows(x) {
                    out[2].extend(vec![0.0; y]);
                    out[4].push(0.0);
                    continue;
                }
                let (values, deltas) = loss_row(loss, &outputs[range.clone()], &target[..y]);
                let slopes = stored[range].iter().map(|&s| Bounded::derivative(activation, s));
                out[2].extend(deltas.into_iter().zip(slopes).map(|(d, slope)| (scale * d * slope).error));
                out[4].push((scale * Bounded::sum(values.into_iter())).error);
            }
        }
        // The two steps write losses[2] and losses[0]; both are the same sum.
        Kernel::LossSum => out[1] = vec![Bounded::sum(given(0).into_iter()).error; 3],
        Kernel::ColumnSum => {
            let matrix = given(0);
            out[1] = (0..y).map(|j| Bounded::sum(matrix.iter().skip(j).step_by(y).copied()).error).collect();
        }
        Kernel::Update(rule) => {
            let gradients = given(2).into_iter().enumerate();
            update::bounds(rule, uniform.hyper, gradients, &given, (3, 4), &mut out);
        }
        Kernel::Treatment(kernel) => out = treatment::bounds(kernel, [x, y], given, out),
        Kernel::Mixed(mixed) => return mixed_bounds(mixed, uniform, contents.to_vec()),
        Kernel::Resident(ref resident) => return resident::bounds(resident, uniform.hyper, [x, y, z, w], contents),
        Kernel::Fused(ref kernel) => out = fused::bounds(kernel, uniform.dims, contents)?,
        Kernel::FusedSum(ref kernel) => out = fused::sum_bounds(kernel, uniform.dims, uniform.hyper, contents),
        Kernel::Jet(ref kernel) => out = jet::bounds(kernel, [x, y, z, w], given, out),
        Kernel::Block(kernel) => out = block::bounds(kernel, [x, y, z, w], given, out),
    }
    Ok(out)
}

/// The learning rate of every step that is checked.
pub(super) const LEARNING_RATE: f32 = 0.3;

fn product(
    [m, n, k]: [usize; 3],
    form: Form,
    terms: Range<usize>,
    a: &[Bounded],
    b: &[Bounded],
    bias: impl Fn(usize) -> Option<Bounded>,
) -> Vec<Bounded> {
    let a_at = |i: usize, l: usize| if form == Form::Tn { a[l * m + i] } else { a[i * k + l] };
    let b_at = |l: usize, j: usize| if form == Form::Nt { b[j * k + l] } else { b[l * n + j] };
    let element = |at: usize| {
        let (i, j) = (at / n, at % n);
        Bounded::sum(terms.clone().map(|l| a_at(i, l) * b_at(l, j)).chain(bias(j)))
    };
    (0..m * n).map(element).collect()
}

fn loss_row(loss: Loss, y: &[Bounded], t: &[Bounded]) -> (Vec<Bounded>, Vec<Bounded>) {
    let row = [Bounded::log_sum_exp(y), Bounded::sum(t.iter().copied())];
    y.iter().zip(t).map(|(&y, &t)| Bounded::loss(loss, y, t, row).into()).unzip()
}
