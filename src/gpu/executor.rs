use super::{Gpu, Pipeline};
use crate::executor::{Executor, Readback, locate};
use crate::kernel::{Element, Uniform, Variant};
use crate::plan::{Phase, Plan, Slot, Step};
use crate::{Error, Result};
use half::f16;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Which variant each step runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VariantChoice {
    /// By the sizes of the step.
    #[default]
    Heuristic,
    /// This one wherever the kernel has it.
    Forced(Variant),
}

/// Dispatches in one command buffer at most; longer runs are submitted in parts, so that drivers need not hold them all.
const DISPATCHES_PER_SUBMIT: usize = 2048;

/// Floating-point operations in one command buffer at most: a second on a slow integrated GPU. Watchdogs end what takes
/// several.
const FLOPS_PER_SUBMIT: f64 = 1e11;

/// The same for dispatches that take many training steps each: a tenth of a second on a slow GPU, and there are ten.
const REPEATING_PER_SUBMIT: usize = 10;

/// Each dispatch's [`Uniform`] starts at a multiple of this, WebGPU's largest uniform-offset alignment.
const UNIFORM_STRIDE: u64 = 256;

/// Runs a plan on a GPU. Buffers, pipelines and bind groups are made here, once; running makes none.
pub struct GpuExecutor {
    gpu: Arc<Gpu>,
    plan: Plan,
    buffers: Vec<wgpu::Buffer>,
    dispatches: Vec<Dispatch>,
    staging: Arc<Staging>,
}

struct Dispatch {
    phase: Phase,
    pipeline: Arc<Pipeline>,
    /// Number `k` is for `2ᵏ` training steps; there is one where the kernel repeats none.
    bind_groups: Vec<wgpu::BindGroup>,
    workgroups: [u32; 3],
}

/// Buffers that the host can read, kept for the next read-back.
type Staging = Mutex<Vec<wgpu::Buffer>>;

impl GpuExecutor {
    /// Allocates the slots of `plan`, all zero, and builds what its steps need.
    pub fn new(gpu: Arc<Gpu>, plan: Plan, choice: VariantChoice) -> Result<Self> {
        plan.validate()?;
        check_limits(&gpu, &plan)?;
        let buffers = allocate(&gpu, &plan)?;
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let dispatches = dispatches(&gpu, &plan, &buffers, choice)?;
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::Device(format!("{} refused the plan: {error}", gpu.info.name)));
        }
        Ok(GpuExecutor { gpu, plan, buffers, dispatches, staging: Arc::default() })
    }

    /// Rounds numbers to f16 and writes them. A buffer is written in whole words, so they begin at an even element, and end
    /// at one or at the end of the slot.
    fn write_halves(&mut self, slot: Slot, offset: usize, values: &[f32]) -> Result<()> {
        let end = offset + values.len();
        let len = self.plan.slot(slot).map_or(0, |info| info.len);
        if !offset.is_multiple_of(2) || !(end.is_multiple_of(2) || end == len) {
            let expected = format!("elements from an even one to an even one or the end, {len}");
            return Err(Error::shape(format!("slot {slot}"), expected, format!("{offset}..{end}")));
        }
        let index = locate(&self.plan, slot, &(offset..end), Element::Real)?;
        let mut halves: Vec<u16> = values.iter().map(|&x| f16::from_f32(x).to_bits()).collect();
        halves.resize(halves.len().next_multiple_of(2), 0);
        self.gpu.queue.write_buffer(&self.buffers[index], 2 * offset as u64, bytemuck::cast_slice(&halves));
        self.gpu.check()
    }

    fn write_bytes(&mut self, slot: Slot, offset: usize, bytes: &[u8], element: Element) -> Result<()> {
        let index = locate(&self.plan, slot, &(offset..offset + bytes.len() / element.bytes()), element)?;
        self.gpu.queue.write_buffer(&self.buffers[index], (element.bytes() * offset) as u64, bytes);
        self.gpu.check()
    }
}

/// Bytes of so many elements in a buffer or a binding, a multiple of 4 as WebGPU demands.
fn buffer_bytes(element: Element, len: usize) -> u64 {
    (element.bytes() * len).next_multiple_of(4) as u64
}

fn check_limits(gpu: &Gpu, plan: &Plan) -> Result<()> {
    let limits = gpu.device.limits();
    let largest = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
    for info in &plan.slots {
        let bytes = buffer_bytes(info.element, info.len);
        if info.element == Element::Half && !gpu.device.features().contains(wgpu::Features::SHADER_F16) {
            return Err(Error::Device(format!("{} has no f16 in shaders; use --precision f32", gpu.info.name)));
        }
        if bytes > largest && matches!(info.slot, Slot::DataInputs | Slot::DataTargets | Slot::Order) {
            return Err(Error::Device(format!(
                "{} cannot hold the data set: {} needs a buffer of {bytes} bytes, the adapter allows {largest}; use fewer \
                 rows, or --device cpu",
                gpu.info.name, info.slot
            )));
        }
        if bytes > largest || u32::try_from(info.len).is_err() {
            return Err(Error::Device(format!(
                "{} cannot hold the network: {} needs a buffer of {bytes} bytes, the adapter allows {largest}; use a \
                 smaller batch, a smaller network, or --device cpu",
                gpu.info.name, info.slot
            )));
        }
    }
    for step in &plan.steps {
        let needed = step.kernel.bindings().len() as u32;
        if needed > limits.max_storage_buffers_per_shader_stage {
            return Err(Error::Device(format!(
                "{} cannot run {}: it needs {needed} storage buffers, the adapter allows {}",
                gpu.info.name, step.kernel, limits.max_storage_buffers_per_shader_stage
            )));
        }
    }
    Ok(())
}

fn allocate(gpu: &Gpu, plan: &Plan) -> Result<Vec<wgpu::Buffer>> {
    let memory = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let buffers = plan.slots.iter().map(|info| {
        gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(&format!("wgrad.{}", info.slot)),
            size: buffer_bytes(info.element, info.len),
            usage,
            mapped_at_creation: false,
        })
    });
    let buffers = buffers.collect();
    let refused = pollster::block_on(validation.pop());
    match pollster::block_on(memory.pop()).or(refused) {
        None => Ok(buffers),
        Some(error) => Err(Error::Device(format!(
            "{} cannot hold the network, which needs {} bytes: {error}; use a smaller batch, a smaller network, or \
             --device cpu",
            gpu.info.name,
            plan.bytes()
        ))),
    }
}

fn choose(gpu: &Arc<Gpu>, step: &Step, choice: VariantChoice) -> Result<Variant> {
    let (kernel, dims) = (&step.kernel, step.uniform.dims);
    let mut variants = kernel.variants(gpu.subgroup());
    variants.extend(gpu.cooperative_variants(kernel));
    let fits = |variant: &Variant| {
        kernel.runs(*variant, dims) && kernel.loop_iterations(*variant, times(step, 1)) <= gpu.most_loop_iterations()
    };
    let found = match choice {
        VariantChoice::Forced(variant) if variants.contains(&variant) => Some(variant).filter(fits),
        _ => {
            let heuristic = kernel.heuristic(dims, gpu.subgroup());
            gpu.cooperative_for(kernel, dims).into_iter().chain([heuristic]).chain(variants).find(fits)
        }
    };
    found.ok_or_else(|| {
        Error::Device(format!(
            "{} cannot run {:?}: its sums over {} terms take more loop iterations than this driver allows; use a smaller \
             batch or --device cpu",
            gpu.info.name,
            step.label,
            dims.iter().max().unwrap_or(&0)
        ))
    })
}

/// The sizes of a dispatch of `step` that takes `steps` training steps, where its kernel can.
fn times(step: &Step, steps: u32) -> [u32; 4] {
    let [x, y, z, w] = step.uniform.dims;
    [x, if step.kernel.repeats() { steps } else { y }, z, w]
}

/// How many dispatches of different lengths a step has: of one training step, two, four, … as many as the plan and the
/// driver allow.
fn lengths(gpu: &Gpu, step: &Step, variant: Variant) -> u32 {
    if !step.kernel.repeats() {
        return 1;
    }
    let allowed = |k: &u32| step.kernel.loop_iterations(variant, times(step, 1 << k)) <= gpu.most_loop_iterations();
    let longest = step.uniform.dims[1].max(1).ilog2();
    1 + (0..=longest).rev().find(allowed).unwrap_or(0)
}

fn dispatches(gpu: &Arc<Gpu>, plan: &Plan, buffers: &[wgpu::Buffer], choice: VariantChoice) -> Result<Vec<Dispatch>> {
    let variants = plan.steps.iter().map(|step| choose(gpu, step, choice)).collect::<Result<Vec<_>>>()?;
    let chosen = || plan.steps.iter().zip(variants.iter().copied());
    let count: u32 = chosen().map(|(step, variant)| lengths(gpu, step, variant)).sum();
    let uniforms = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wgrad.uniforms"),
        size: UNIFORM_STRIDE * u64::from(count),
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut offsets = (0..).map(|number| UNIFORM_STRIDE * number);
    let mut all = Vec::new();
    for (step, variant) in chosen() {
        let kernel = &step.kernel;
        let dims = step.uniform.dims;
        let workgroups = kernel.workgroups(variant, dims);
        let most = gpu.device.limits().max_compute_workgroups_per_dimension;
        if let Some(found) = workgroups.iter().find(|&&count| count > most) {
            return Err(Error::Device(format!(
                "{} cannot run {:?}: it needs {found} workgroups in one dimension, the adapter allows {most}; use a \
                 smaller batch",
                gpu.info.name, step.label
            )));
        }
        let bound = |buffer, offset, size| {
            let size = std::num::NonZeroU64::new(size);
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
        };
        let mut entries = Vec::new();
        for (spec, binding) in kernel.bindings().iter().zip(&step.bindings) {
            let index = locate(plan, binding.slot, &binding.range, spec.element)?;
            let start = (spec.element.bytes() * binding.range.start) as u64;
            let len = buffer_bytes(spec.element, binding.range.len());
            entries.push(wgpu::BindGroupEntry { binding: spec.index, resource: bound(&buffers[index], start, len) });
        }
        let pipeline = gpu.pipeline(kernel, variant)?;
        let mut bind_groups = Vec::new();
        for (k, offset) in (0..lengths(gpu, step, variant)).zip(&mut offsets) {
            let uniform = Uniform { dims: times(step, 1 << k), ..step.uniform };
            gpu.queue.write_buffer(&uniforms, offset, bytemuck::bytes_of(&uniform));
            let resource = bound(&uniforms, offset, size_of::<Uniform>() as u64);
            let entries = [&[wgpu::BindGroupEntry { binding: 0, resource }], &entries[..]].concat();
            bind_groups.push(gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(&step.label),
                layout: &pipeline.layout,
                entries: &entries,
            }));
        }
        all.push(Dispatch { phase: step.phase, pipeline, bind_groups, workgroups });
    }
    Ok(all)
}

impl Executor for GpuExecutor {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn write(&mut self, slot: Slot, offset: usize, values: &[f32]) -> Result<()> {
        match self.plan.slot(slot).map(|info| info.element) {
            Some(Element::Half) => self.write_halves(slot, offset, values),
            _ => self.write_bytes(slot, offset, bytemuck::cast_slice(values), Element::Real),
        }
    }

    fn write_words(&mut self, slot: Slot, offset: usize, words: &[u32]) -> Result<()> {
        self.write_bytes(slot, offset, bytemuck::cast_slice(words), Element::Word)
    }

    fn run(&mut self, phases: &[Phase], times: usize) -> Result<()> {
        let per_step = self.plan.dispatches(phases).max(1);
        let chosen = self.plan.steps.iter().filter(|step| phases.contains(&step.phase));
        let flops: f64 = chosen.map(|step| step.kernel.work(step.uniform.dims).0).sum();
        let within_flops = (FLOPS_PER_SUBMIT / flops.max(1.0)) as usize;
        let repeating = self.plan.repeating(phases);
        let per_submit = match repeating {
            Some(_) => REPEATING_PER_SUBMIT,
            None => (DISPATCHES_PER_SUBMIT / per_step).min(within_flops).max(1),
        };
        let longest = repeating.map_or(0, |number| self.dispatches[number].bind_groups.len() as u32 - 1);
        let mut left = times;
        while left > 0 {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for _ in 0..per_submit {
                let Some(most) = left.checked_ilog2() else { break };
                let k = most.min(longest);
                left -= 1 << k;
                for dispatch in self.dispatches.iter().filter(|dispatch| phases.contains(&dispatch.phase)) {
                    let [x, y, z] = dispatch.workgroups;
                    pass.set_pipeline(&dispatch.pipeline.compute);
                    pass.set_bind_group(0, &dispatch.bind_groups[k as usize], &[]);
                    pass.dispatch_workgroups(x, y, z);
                }
            }
            drop(pass);
            self.gpu.queue.submit([encoder.finish()]);
        }
        self.gpu.check()
    }

    fn read(&mut self, slot: Slot, range: Range<usize>) -> Result<Readback> {
        let index = locate(&self.plan, slot, &range, Element::Real)?;
        let element = self.plan.slots[index].element;
        // Copies begin and end at multiples of four bytes; what is before the first element is dropped again.
        let unwanted = match element {
            Element::Half => range.start % 2,
            _ => 0,
        };
        let start = (element.bytes() * (range.start - unwanted)) as u64;
        let bytes = buffer_bytes(element, unwanted + range.len());
        let staging = take_staging(&self.gpu.device, &self.staging, bytes);
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&self.buffers[index], start, &staging, 0, bytes);
        let submission = self.gpu.queue.submit([encoder.finish()]);
        let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
        staging.map_async(wgpu::MapMode::Read, 0..bytes, move |result| {
            let _ = sender.send(result);
        });
        let (gpu, pool) = (self.gpu.clone(), self.staging.clone());
        Ok(Readback(Box::pin(async move {
            let lost = |why: String| Error::Device(format!("{} did not give its results: {why}", gpu.info.name));
            // A browser calls back by itself; elsewhere somebody has to drive the device.
            gpu.device
                .poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })
                .map_err(|error| lost(error.to_string()))?;
            gpu.check()?;
            match receiver.receive().await {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(lost(error.to_string())),
                None => return Err(lost("the read-back was dropped".into())),
            }
            let view = staging.get_mapped_range(0..bytes).map_err(|error| lost(error.to_string()))?;
            let values = match element {
                Element::Half => {
                    let halves: Vec<u16> = bytemuck::pod_collect_to_vec(&view);
                    halves[unwanted..][..range.len()].iter().map(|&bits| f16::from_bits(bits).to_f32()).collect()
                }
                _ => bytemuck::pod_collect_to_vec(&view),
            };
            drop(view);
            staging.unmap();
            pool.lock().unwrap_or_else(PoisonError::into_inner).push(staging);
            Ok(values)
        })))
    }

    fn buffer(&self, slot: Slot) -> Option<&wgpu::Buffer> {
        let index = self.plan.slots.iter().position(|info| info.slot == slot)?;
        Some(&self.buffers[index])
    }
}

/// A readable buffer of at least `bytes`, from the pool where it has one.
fn take_staging(device: &wgpu::Device, pool: &Staging, bytes: u64) -> wgpu::Buffer {
    let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = pool.iter().position(|buffer| buffer.size() >= bytes) {
        return pool.swap_remove(at);
    }
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wgrad.staging"),
        size: bytes.max(4),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}
