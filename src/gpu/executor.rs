use super::{Gpu, Pipeline};
use crate::executor::{Executor, Readback, locate};
use crate::kernel::{Element, Kernel, Uniform, Variant};
use crate::plan::{Phase, Plan, Slot, Step};
use crate::tune::Variants;
use crate::{Error, Result};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Which variant each step runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VariantChoice {
    /// By the sizes of the step.
    #[default]
    Heuristic,
    /// This one wherever the kernel has it.
    Forced(Variant),
    /// As given for each kernel and its sizes; where nothing is given, by the sizes.
    Pinned(Arc<Variants>),
}

/// Dispatches in one command buffer at most; longer runs are submitted in parts, so that drivers need not hold them all.
const DISPATCHES_PER_SUBMIT: usize = 2048;

/// Floating-point operations in one command buffer at most: a second on a slow integrated GPU. Watchdogs end what takes
/// several.
const FLOPS_PER_SUBMIT: f64 = 1e11;

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
    bind_group: wgpu::BindGroup,
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
        let dispatches = dispatches(&gpu, &plan, &buffers, &choice)?;
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::Device(format!("{} refused the plan: {error}", gpu.info.name)));
        }
        Ok(GpuExecutor { gpu, plan, buffers, dispatches, staging: Arc::default() })
    }

    fn write_bytes(&mut self, slot: Slot, offset: usize, bytes: &[u8], element: Element) -> Result<()> {
        let index = locate(&self.plan, slot, &(offset..offset + bytes.len() / 4), element)?;
        self.gpu.queue.write_buffer(&self.buffers[index], 4 * offset as u64, bytes);
        self.gpu.check()
    }
}

fn check_limits(gpu: &Gpu, plan: &Plan) -> Result<()> {
    let limits = gpu.device.limits();
    let largest = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
    for info in &plan.slots {
        let bytes = 4 * info.len as u64;
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
            size: 4 * info.len as u64,
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

impl Gpu {
    /// The variants of `kernel` that this device can run over `dims`, the heuristic's choice first.
    pub fn candidates(&self, kernel: &Kernel, dims: [u32; 4]) -> Vec<Variant> {
        let preferred = kernel.heuristic(dims, self.subgroup());
        let others = kernel.variants(self.subgroup()).into_iter().filter(|variant| *variant != preferred);
        let fits = |variant: &Variant| {
            kernel.runs(*variant, dims) && kernel.loop_iterations(*variant, dims) <= self.most_loop_iterations()
        };
        std::iter::once(preferred).chain(others).filter(fits).collect()
    }
}

fn choose(gpu: &Gpu, step: &Step, choice: &VariantChoice) -> Result<Variant> {
    let (kernel, dims) = (&step.kernel, step.uniform.dims);
    let candidates = gpu.candidates(kernel, dims);
    let pinned = match choice {
        VariantChoice::Pinned(variants) => variants.get(kernel, dims),
        _ => None,
    };
    if let Some(name) = pinned {
        let found = candidates.iter().find(|variant| variant.to_string() == name);
        return found.copied().ok_or_else(|| {
            let known: Vec<_> = candidates.iter().map(Variant::to_string).collect();
            Error::Device(format!(
                "{} cannot run {:?} as it was pinned: expected one of the variants {} of {kernel}, found {name:?}; run it \
                 on the device that it was pinned on, or let the variants be chosen anew",
                gpu.info.name,
                step.label,
                known.join(", ")
            ))
        });
    }
    let found = match *choice {
        VariantChoice::Forced(variant) if kernel.variants(gpu.subgroup()).contains(&variant) => {
            candidates.contains(&variant).then_some(variant)
        }
        _ => candidates.first().copied(),
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

fn dispatches(gpu: &Gpu, plan: &Plan, buffers: &[wgpu::Buffer], choice: &VariantChoice) -> Result<Vec<Dispatch>> {
    let uniforms = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wgrad.uniforms"),
        size: UNIFORM_STRIDE * plan.steps.len() as u64,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut all = Vec::new();
    for (number, step) in plan.steps.iter().enumerate() {
        let kernel = &step.kernel;
        let dims = step.uniform.dims;
        let variant = choose(gpu, step, choice)?;
        let workgroups = kernel.workgroups(variant, dims);
        let most = gpu.device.limits().max_compute_workgroups_per_dimension;
        if let Some(found) = workgroups.iter().find(|&&count| count > most) {
            return Err(Error::Device(format!(
                "{} cannot run {:?}: it needs {found} workgroups in one dimension, the adapter allows {most}; use a \
                 smaller batch",
                gpu.info.name, step.label
            )));
        }
        let offset = UNIFORM_STRIDE * number as u64;
        gpu.queue.write_buffer(&uniforms, offset, bytemuck::bytes_of(&step.uniform));
        let bound = |buffer, offset, size| {
            let size = std::num::NonZeroU64::new(size);
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
        };
        let mut entries =
            vec![wgpu::BindGroupEntry { binding: 0, resource: bound(&uniforms, offset, size_of::<Uniform>() as u64) }];
        for (spec, binding) in kernel.bindings().iter().zip(&step.bindings) {
            let index = locate(plan, binding.slot, &binding.range, spec.element)?;
            let (start, len) = (4 * binding.range.start as u64, 4 * binding.range.len() as u64);
            entries.push(wgpu::BindGroupEntry { binding: spec.index, resource: bound(&buffers[index], start, len) });
        }
        let pipeline = gpu.pipeline(kernel, variant)?;
        let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&step.label),
            layout: &pipeline.layout,
            entries: &entries,
        });
        all.push(Dispatch { phase: step.phase, pipeline, bind_group, workgroups });
    }
    Ok(all)
}

impl Executor for GpuExecutor {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn write(&mut self, slot: Slot, offset: usize, values: &[f32]) -> Result<()> {
        self.write_bytes(slot, offset, bytemuck::cast_slice(values), Element::Real)
    }

    fn write_words(&mut self, slot: Slot, offset: usize, words: &[u32]) -> Result<()> {
        self.write_bytes(slot, offset, bytemuck::cast_slice(words), Element::Word)
    }

    fn run(&mut self, phases: &[Phase], times: usize) -> Result<()> {
        let per_step = self.plan.dispatches(phases).max(1);
        let chosen = self.plan.steps.iter().filter(|step| phases.contains(&step.phase));
        let flops: f64 = chosen.map(|step| step.kernel.work(step.uniform.dims).0).sum();
        let within_flops = (FLOPS_PER_SUBMIT / flops.max(1.0)) as usize;
        let per_submit = (DISPATCHES_PER_SUBMIT / per_step).min(within_flops).max(1);
        let mut left = times;
        while left > 0 {
            let now = left.min(per_submit);
            left -= now;
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for _ in 0..now {
                for dispatch in self.dispatches.iter().filter(|dispatch| phases.contains(&dispatch.phase)) {
                    let [x, y, z] = dispatch.workgroups;
                    pass.set_pipeline(&dispatch.pipeline.compute);
                    pass.set_bind_group(0, &dispatch.bind_group, &[]);
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
        let bytes = 4 * range.len() as u64;
        let staging = take_staging(&self.gpu.device, &self.staging, bytes);
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&self.buffers[index], 4 * range.start as u64, &staging, 0, bytes);
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
            let values = bytemuck::pod_collect_to_vec(&view);
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
