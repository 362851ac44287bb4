//! Stop-watches: one kernel by itself, a whole training step, a copy.

use super::{Job, LONGEST_STEP};
use crate::check::kernels;
use crate::device::Device;
use crate::gpu::{Gpu, VariantChoice};
use crate::kernel::{Access, Element, Epilogue, Kernel, Uniform, Variant};
use crate::plan::{Binding, Phase, Plan, Planner, ScheduleEntry, Slot, SlotInfo, Step, TrainingOptions};
use crate::{Error, Result};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs are timed in blocks of at least this: long against what handing over and waiting take.
const BLOCK: Duration = Duration::from_millis(8);

/// Of so many blocks the shortest counts, which was disturbed least.
const BLOCKS: usize = 3;

/// The seconds of one run of what `run` does so many times and waits for. Nothing is timed further that takes more than
/// three times `rival` when it is first timed.
pub(super) fn seconds(mut run: impl FnMut(usize) -> Result<()>, rival: Option<f64>) -> Result<f64> {
    let mut timed = |times: usize| -> Result<f64> {
        let start = Instant::now();
        run(times)?;
        // A clock can be too coarse to see a run at all.
        Ok((start.elapsed().as_secs_f64() / times as f64).max(1e-9))
    };
    // The first run compiles what is compiled late.
    timed(1)?;
    let mut once = timed(1)?;
    let mut times = 1;
    while once * (times as f64) < BLOCK.as_secs_f64() {
        times = (BLOCK.as_secs_f64() / once).ceil().clamp(2.0 * times as f64, 1e6) as usize;
        once = timed(times)?;
        if times == 1_000_000 {
            break;
        }
    }
    if rival.is_some_and(|rival| once > 3.0 * rival) {
        return Ok(once);
    }
    (1..BLOCKS).try_fold(once, |least, _| Ok(least.min(timed(times)?)))
}

/// Seconds of one dispatch of `variant` over `dims`, on numbers that are neither 0 nor denormal.
pub fn kernel_seconds(
    device: &Device,
    kernel: &Kernel,
    variant: Variant,
    dims: [u32; 4],
    rival: Option<f64>,
) -> Result<f64> {
    let specs = kernel.bindings();
    let slots: Vec<_> = specs
        .iter()
        .zip(lengths(kernel, dims))
        .enumerate()
        .map(|(i, (spec, len))| SlotInfo { slot: Slot::State(i), len, element: spec.element })
        .collect();
    let bindings = slots.iter().map(|info| Binding { slot: info.slot, range: 0..info.len }).collect();
    let uniform = Uniform { dims, hyper: [0.9, 0.0, 0.0, 0.0] };
    let plan = Plan::single(kernel.clone(), uniform, slots.clone(), bindings)?;
    let mut executor = device.executor_with(plan, VariantChoice::Forced(variant))?;
    for (info, spec) in slots.iter().zip(&specs) {
        match spec.element {
            Element::Real | Element::Half => executor.write(info.slot, 0, &numbers(info.len))?,
            Element::Word if spec.name == "schedule" => {
                let entry = ScheduleEntry::training(1e-9, 1.0, dims[0] as usize);
                executor.write_words(info.slot, 0, bytemuck::cast_slice(&[entry]))?;
            }
            Element::Word => {}
        }
    }
    let written = specs.iter().position(|spec| spec.access == Access::Write && spec.element != Element::Word);
    let result = Slot::State(written.unwrap_or(0));
    let run = |times| {
        executor.run(&[Phase::Forward], times)?;
        executor.read(result, 0..1)?.wait().map(drop)
    };
    seconds(run, rival)
}

/// Seconds beside which handing over a dispatch is nothing, on any device.
const LONG_RUN: f64 = 0.01;

/// The same, beside a `rival` that takes so long. What is far behind on a sixteenth of the work is not timed on all of it,
/// which could take longer than everything else together.
pub(super) fn raced_seconds(
    device: &Device,
    kernel: &Kernel,
    variant: Variant,
    dims: [u32; 4],
    rival: Option<f64>,
) -> Result<f64> {
    let pilot = capped(device, kernel, dims, guess(device, kernel, dims) / 16.0);
    if let (Some(rival), true) = (rival.filter(|rival| *rival > LONG_RUN), pilot != dims) {
        let share = kernel.work(pilot).0 / kernel.work(dims).0;
        let seconds = kernel_seconds(device, kernel, variant, pilot, Some(0.0))? / share;
        if seconds > 4.0 * rival {
            return Ok(seconds);
        }
    }
    kernel_seconds(device, kernel, variant, dims, rival)
}

/// What [`kernel_seconds`] binds: gathering reads a data set that is as large as the batch.
fn lengths(kernel: &Kernel, dims: [u32; 4]) -> Vec<usize> {
    let mut lengths = kernel.lengths(dims);
    if *kernel == Kernel::Gather {
        let [rows, inputs, outputs, _] = dims.map(|d| d as usize);
        lengths[2..5].copy_from_slice(&[rows, rows * inputs, rows * outputs]);
    }
    lengths
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i % 251) as f32 / 251.0 - 0.4).collect()
}

/// Whether `variant` agrees with its twin over small awkward sizes; otherwise what is wrong. `tamper` may plant a fault.
pub(super) fn agrees(
    device: &Device,
    kernel: &Kernel,
    variant: Variant,
    tamper: &dyn Fn(&mut Plan),
) -> Result<(), String> {
    let runs = |dims: &[u32; 4]| match device {
        Device::Cpu => true,
        Device::Gpu(gpu) => gpu.candidates(kernel, *dims).contains(&variant),
    };
    let shapes: Vec<_> = kernels::shapes(kernel).into_iter().filter(runs).collect();
    if shapes.is_empty() {
        return Err("none of the sizes that it is checked at can run here".into());
    }
    for dims in kernels::largest(shapes) {
        match kernels::check(device, kernel, variant, dims, 0, tamper) {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => return Err(failure),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// The training step `plan`, ready to be repeated on made-up numbers that it leaves as they are. It ran once, so that what
/// a driver compiles late is compiled.
pub(super) fn rehearse(
    device: &Device,
    job: &Job<'_>,
    plan: &Plan,
    variants: VariantChoice,
) -> Result<impl FnMut(usize) -> Result<()> + use<>> {
    let mut executor = device.executor_with(plan.clone(), variants)?;
    for &SlotInfo { slot, len, .. } in &plan.slots {
        match slot {
            // Small enough for sums over wide layers to stay in the middle of the activations.
            Slot::Params => {
                executor.write(slot, 0, &numbers(len).into_iter().map(|x| 0.1 * x).collect::<Vec<_>>())?;
            }
            Slot::Input | Slot::DataInputs => executor.write(slot, 0, &numbers(len))?,
            Slot::Target | Slot::DataTargets => {
                executor.write(slot, 0, &numbers(len).into_iter().map(|x| x + 0.5).collect::<Vec<_>>())?;
            }
            Slot::Order => executor.write_words(slot, 0, &(0..len as u32).collect::<Vec<_>>())?,
            _ => {}
        }
    }
    let rows = plan.slot(Slot::Order).map_or(plan.batch, |order| order.len);
    let loss_scale = job.options.loss.reduction().scale(rows, job.network.outputs()) as f32;
    executor.schedule(&[ScheduleEntry::training(0.0, loss_scale, rows)])?;
    let (planner, phases) = (plan.planner, plan.training_phases());
    let mut run = move |times| {
        executor.run(phases, times)?;
        let loss = executor.read(Slot::Losses, 0..1)?.wait()?[0];
        match loss.is_finite() {
            true => Ok(()),
            false => Err(Error::Device(format!("a step of the planner {planner} gave the loss {loss}"))),
        }
    };
    run(1)?;
    Ok(run)
}

/// What a device does in a second at best, roughly: enough to weigh kernels against each other, and a run against the
/// time that measuring takes. Nothing is measured for it, so it is the same every time.
struct Rates {
    flops: f64,
    bytes: f64,
    dispatch: f64,
}

fn rates(device: &Device) -> Rates {
    match device {
        Device::Cpu => Rates { flops: 1e11, bytes: 1e10, dispatch: 2e-6 },
        Device::Gpu(gpu) if is_software(gpu) => Rates { flops: 2e10, bytes: 5e9, dispatch: 3e-5 },
        Device::Gpu(_) => Rates { flops: 5e12, bytes: 3e11, dispatch: 5e-6 },
    }
}

pub(super) fn is_software(gpu: &Gpu) -> bool {
    gpu.info().device_type == wgpu::DeviceType::Cpu
}

/// A rough guess of the seconds that `kernel` takes over `dims`.
pub(super) fn guess(device: &Device, kernel: &Kernel, dims: [u32; 4]) -> f64 {
    let Rates { flops, bytes, dispatch } = rates(device);
    let (operations, moved) = kernel.work(kernel.times(dims, 1));
    dispatch + (operations / flops).max(moved / bytes)
}

/// The same for a training step.
pub(super) fn guess_step(device: &Device, plan: &Plan) -> f64 {
    let steps = plan.steps.iter().filter(|step| plan.training_phases().contains(&step.phase));
    steps.map(|step| guess(device, &step.kernel, step.uniform.dims)).sum()
}

/// Bytes of a text that a software rasteriser compiles in a second.
const COMPILED_IN_A_SECOND: f64 = 21e3;

/// A guess of the time that a driver takes to compile `variant`; nothing where it did. It grows faster than the text does:
/// by its square, between what Mesa 25.0.7 was seen to take for products and for whole fused networks; 22.3.6 takes less.
pub(super) fn compiling(gpu: &Gpu, kernel: &Kernel, variant: Variant) -> Duration {
    let text = kernel.wgsl(variant);
    if gpu.has_compiled(&text) {
        return Duration::ZERO;
    }
    let seconds = (text.len() as f64 / COMPILED_IN_A_SECOND).powi(2);
    Duration::from_secs_f64(match (is_software(gpu), has_barriers(&text)) {
        (true, true) => 6.0 * seconds,
        (true, false) => seconds,
        (false, _) => 0.2 * seconds,
    })
}

/// Whether `text` waits for other invocations. That cuts a software rasteriser's program into coroutines, which are slow to
/// run and slowest to compile.
fn has_barriers(text: &str) -> bool {
    text.contains("workgroupBarrier")
}

/// Whether `variant` is not worth its compilation beside `preferred`: on a software rasteriser it alone has barriers.
pub(super) fn is_hopeless(gpu: &Gpu, kernel: &Kernel, variant: Variant, preferred: Variant) -> bool {
    is_software(gpu) && has_barriers(&kernel.wgsl(variant)) && !has_barriers(&kernel.wgsl(preferred))
}

/// The same for the steps of a plan as the heuristic has them.
pub(super) fn compiling_plan(device: &Device, plan: &Plan) -> Duration {
    let Device::Gpu(gpu) = device else { return Duration::ZERO };
    let kernels: HashSet<_> = plan.steps.iter().map(|step| (&step.kernel, heuristic(gpu, step))).collect();
    kernels.into_iter().map(|(kernel, variant)| compiling(gpu, kernel, variant)).sum()
}

/// The variant that runs where nothing was measured.
pub(super) fn heuristic(gpu: &Arc<Gpu>, step: &Step) -> Variant {
    gpu.candidates(&step.kernel, step.uniform.dims).first().copied().unwrap_or(Variant::Naive)
}

/// Smaller sizes where those of a matrix product would take longer than `limit` seconds: the longest side is halved, and
/// stays a multiple of four where it was one, which decides what variants can run.
pub(super) fn capped(device: &Device, kernel: &Kernel, mut dims: [u32; 4], limit: f64) -> [u32; 4] {
    if matches!(kernel, Kernel::Matmul { .. }) {
        while guess(device, kernel, dims) > limit {
            let Some(longest) = dims.iter_mut().max().filter(|longest| **longest >= 64) else { break };
            *longest = if longest.is_multiple_of(4) { (*longest / 2).next_multiple_of(4) } else { (*longest / 2) | 1 };
        }
    }
    dims
}

/// A batch with which a step takes about [`LONGEST_STEP`] at most, halved from the one of `job`.
pub(super) fn capped_batch(device: &Device, job: &Job<'_>) -> usize {
    let mut options = TrainingOptions { planner: Planner::default(), data_rows: 0, ..job.options };
    while options.batch > 1 {
        match Plan::training(job.network, &options) {
            Ok(plan) if guess_step(device, &plan) > LONGEST_STEP => options.batch = options.batch.div_ceil(2),
            _ => break,
        }
    }
    options.batch
}

/// What an adapter was seen to do at best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Bytes read and written per second when a large buffer is copied.
    pub copy_bytes_per_s: f64,
    /// Floating-point operations per second of the fastest variant in a square matrix product.
    pub product_flops_per_s: f64,
}

impl Ceilings {
    /// Measures them.
    pub fn measure(gpu: &std::sync::Arc<Gpu>) -> Result<Ceilings> {
        let device = Device::Gpu(gpu.clone());
        let kernel = Kernel::Matmul { form: crate::kernel::Form::Nn, epilogue: Epilogue::Store };
        let side = if is_software(gpu) { 768 } else { 4096 };
        let dims = [side, side, side, 0];
        let mut best = f64::INFINITY;
        for variant in gpu.candidates(&kernel, dims) {
            let rival = Some(best).filter(|best| best.is_finite());
            best = best.min(kernel_seconds(&device, &kernel, variant, dims, rival)?);
        }
        Ok(Ceilings { copy_bytes_per_s: copy(gpu)?, product_flops_per_s: kernel.work(dims).0 / best })
    }
}

fn copy(gpu: &Gpu) -> Result<f64> {
    let largest = gpu.device().limits().max_buffer_size;
    let size = if is_software(gpu) { 64 << 20 } else { 256 << 20 }.min(largest);
    let buffer = |label| {
        gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    };
    let (buffers, refused) = gpu.guarded(|| ["wgrad.copy_from", "wgrad.copy_to"].map(buffer));
    if let Some(error) = refused {
        return Err(Error::Device(format!("{} has no room for a copy of {size} bytes: {error}", gpu.info().name)));
    }
    gpu.queue().write_buffer(&buffers[0], 0, bytemuck::cast_slice(&numbers(size as usize / 4)));
    let run = |times| {
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for _ in 0..times {
            encoder.copy_buffer_to_buffer(&buffers[0], 0, &buffers[1], 0, size);
        }
        let submission = gpu.queue().submit([encoder.finish()]);
        let waited = gpu.device().poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None });
        waited.map(drop).map_err(|error| Error::Device(format!("{}: {error}", gpu.info().name)))
    };
    Ok(2.0 * size as f64 / seconds(run, None)?)
}
