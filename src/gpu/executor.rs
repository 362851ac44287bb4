use super::uploads::Uploads;
use super::{Gpu, Pipeline, lock};
use crate::executor::{Executor, Readback, behind_forward, locate};
use crate::kernel::{Access, BindingSpec, Element, Kernel, Uniform, Variant};
use crate::pace::Pace;
use crate::plan::{Phase, Plan, Slot, SlotInfo, Step};
use crate::tune::Variants;
use crate::{Error, Result};
use half::f16;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Instant;

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

/// Floating-point operations in the first command buffers, before their time was measured: a second on a slow integrated
/// GPU. Watchdogs end what takes several.
const FLOPS_UNMEASURED: f64 = 1e11;

/// Dispatches that take many training steps each, in one command buffer at most.
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
    uploads: Uploads,
    /// How many steps of the same phases go into one submit.
    paces: HashMap<Vec<Phase>, Pace>,
}

struct Dispatch {
    phase: Phase,
    pipeline: Arc<Pipeline>,
    /// Number `k` is for `2ᵏ` training steps; there is one where the kernel repeats none.
    bind_groups: Vec<wgpu::BindGroup>,
    workgroups: [u32; 3],
}

impl Dispatch {
    /// The binary logarithm of the training steps that it takes at the most.
    fn longest(&self) -> u32 {
        self.bind_groups.len() as u32 - 1
    }
}

/// Buffers that the host can read, kept for the next read-back.
type Staging = Mutex<Vec<wgpu::Buffer>>;

/// What is read after the forward pass of each step: some bytes of a slot's buffer, one behind the other into `staging`.
struct Collection<'a> {
    buffer: usize,
    from: u64,
    bytes: u64,
    staging: &'a wgpu::Buffer,
}

impl Collection<'_> {
    fn encode(&self, encoder: &mut wgpu::CommandEncoder, buffers: &[wgpu::Buffer], step: usize) {
        let to = self.bytes * step as u64;
        encoder.copy_buffer_to_buffer(&buffers[self.buffer], self.from, self.staging, to, self.bytes);
    }
}

/// How numbers lie in a buffer that was copied from a slot `times` times.
#[derive(Clone, Copy)]
struct Layout {
    element: Element,
    /// Elements before the first that is wanted: copies begin and end at multiples of four bytes.
    skip: usize,
    len: usize,
    times: usize,
}

impl Layout {
    /// For the elements `range` of a slot, with the byte at which a copy begins.
    fn of(element: Element, range: &Range<usize>, times: usize) -> (Layout, u64) {
        let skip = if element == Element::Half { range.start % 2 } else { 0 };
        let from = (element.bytes() * (range.start - skip)) as u64;
        (Layout { element, skip, len: range.len(), times }, from)
    }

    /// Bytes of one copy.
    fn bytes(&self) -> u64 {
        buffer_bytes(self.element, self.skip + self.len)
    }

    fn decode(&self, bytes: &[u8]) -> Vec<f32> {
        if self.element != Element::Half {
            return bytemuck::pod_collect_to_vec(bytes);
        }
        let halves: Vec<u16> = bytemuck::pod_collect_to_vec(bytes);
        let copies = halves.chunks_exact(self.bytes() as usize / 2).map(|copy| &copy[self.skip..][..self.len]);
        copies.flatten().map(|&bits| f16::from_bits(bits).to_f32()).collect()
    }
}

impl GpuExecutor {
    /// Allocates the slots of `plan`, all zero, and builds what its steps need.
    pub fn new(gpu: Arc<Gpu>, plan: Plan, choice: VariantChoice) -> Result<Self> {
        plan.validate()?;
        check_limits(&gpu, &plan)?;
        let buffers = allocate(&gpu, &plan)?;
        let (dispatches, refused) = gpu.guarded(|| dispatches(&gpu, &plan, &buffers, &choice));
        let dispatches = dispatches?;
        if let Some(error) = refused {
            return Err(Error::Device(format!("{} refused the plan: {error}", gpu.info.name)));
        }
        let uploads = Uploads::new(&plan);
        Ok(GpuExecutor { gpu, plan, buffers, dispatches, staging: Arc::default(), uploads, paces: HashMap::new() })
    }

    /// Submits `times` steps in parts as long as [`Pace`] says. While one part runs, the part before is waited for; the
    /// last is not. Returns the last submission.
    fn submit(
        &mut self,
        phases: &[Phase],
        times: usize,
        collection: Option<&Collection<'_>>,
    ) -> Result<wgpu::SubmissionIndex> {
        let most = match self.plan.repeating(phases) {
            Some(number) => REPEATING_PER_SUBMIT << self.dispatches[number].longest(),
            None => (DISPATCHES_PER_SUBMIT / self.plan.dispatches(phases).max(1)).max(1),
        };
        let mut pace = self.paces.get(phases).copied().unwrap_or_else(|| self.unmeasured(phases));
        let mut running: Option<(wgpu::SubmissionIndex, usize)> = None;
        let mut since: Option<Instant> = None;
        let mut done = 0;
        loop {
            let now = pace.steps().min(most).min(times - done);
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            match collection {
                None => self.encode(&mut encoder, phases, now),
                Some(collection) => {
                    let (forward, rest) = behind_forward(phases);
                    for step in done..done + now {
                        self.encode(&mut encoder, forward, 1);
                        collection.encode(&mut encoder, &self.buffers, step);
                        self.encode(&mut encoder, rest, 1);
                    }
                }
            }
            let submission = self.gpu.queue.submit([encoder.finish()]);
            done += now;
            if done == times {
                self.gpu.check()?;
                return Ok(submission);
            }
            if let Some((before, steps)) = running.replace((submission, now)) {
                self.gpu.wait(before)?;
                let finished = Instant::now();
                if let Some(since) = since.replace(finished) {
                    pace.took(steps, finished - since);
                    match self.paces.get_mut(phases) {
                        Some(known) => *known = pace,
                        None => drop(self.paces.insert(phases.to_vec(), pace)),
                    }
                }
            }
        }
    }

    fn unmeasured(&self, phases: &[Phase]) -> Pace {
        let chosen = self.plan.steps.iter().filter(|step| phases.contains(&step.phase));
        let flops: f64 = chosen.map(|step| step.kernel.work(step.kernel.times(step.uniform.dims, 1)).0).sum();
        Pace::starting_at((FLOPS_UNMEASURED / flops.max(1.0)) as usize)
    }

    fn encode(&self, encoder: &mut wgpu::CommandEncoder, phases: &[Phase], times: usize) {
        let longest = self.plan.repeating(phases).map_or(0, |number| self.dispatches[number].longest());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let mut left = times;
        while let Some(most) = left.checked_ilog2() {
            let k = most.min(longest);
            left -= 1 << k;
            for dispatch in self.dispatches.iter().filter(|dispatch| phases.contains(&dispatch.phase)) {
                let [x, y, z] = dispatch.workgroups;
                pass.set_pipeline(&dispatch.pipeline.compute);
                pass.set_bind_group(0, &dispatch.bind_groups[k as usize], &[]);
                pass.dispatch_workgroups(x, y, z);
            }
        }
    }

    /// Begins to map `staging`, and says how its first `bytes` come back.
    fn readback(&self, staging: wgpu::Buffer, layout: Layout, submission: wgpu::SubmissionIndex) -> Readback {
        let bytes = layout.bytes() * layout.times as u64;
        let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
        staging.map_async(wgpu::MapMode::Read, 0..bytes, move |result| {
            let _ = sender.send(result);
        });
        let (gpu, pool) = (self.gpu.clone(), self.staging.clone());
        Readback(Box::pin(async move {
            let lost = |why: String| Error::Device(format!("{} did not give its results: {why}", gpu.info.name));
            // A browser calls back by itself; elsewhere somebody has to drive the device.
            gpu.wait(submission)?;
            match receiver.receive().await {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(lost(error.to_string())),
                None => return Err(lost("the read-back was dropped".into())),
            }
            let view = staging.get_mapped_range(0..bytes).map_err(|error| lost(error.to_string()))?;
            let values = layout.decode(&view);
            drop(view);
            staging.unmap();
            lock(&pool).push(staging);
            Ok(values)
        }))
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
    let largest = gpu.most_slot_bytes();
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
                 smaller batch, --micro-batch auto, a smaller network, or --device cpu",
                gpu.info.name, info.slot
            )));
        }
    }
    for step in &plan.steps {
        let storage = |spec: &BindingSpec| spec.access != Access::Constant;
        let needed = step.kernel.bindings().into_iter().filter(storage).count() as u32;
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
    let usual = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let is_constant = |slot: Slot| {
        plan.steps.iter().any(|step| {
            let mut bound = step.kernel.bindings().into_iter().zip(&step.bindings);
            bound.any(|(spec, binding)| spec.access == Access::Constant && binding.slot == slot)
        })
    };
    let buffer = |info: &SlotInfo| {
        let usage = if is_constant(info.slot) { usual | wgpu::BufferUsages::UNIFORM } else { usual };
        gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(&format!("wgrad.{}", info.slot)),
            size: buffer_bytes(info.element, info.len),
            usage,
            mapped_at_creation: false,
        })
    };
    match gpu.guarded(|| plan.slots.iter().map(buffer).collect()) {
        (buffers, None) => Ok(buffers),
        (_, Some(error)) => Err(Error::Device(format!(
            "{} cannot hold the network, which needs {} bytes: {error}; use a smaller batch, a smaller network, or \
             --device cpu",
            gpu.info.name,
            plan.bytes()
        ))),
    }
}

impl Gpu {
    /// The variants of `kernel` that this device has, whatever the sizes.
    pub(crate) fn variants(self: &Arc<Gpu>, kernel: &Kernel) -> Vec<Variant> {
        [kernel.variants(self.abilities()), self.cooperative_variants(kernel)].concat()
    }

    /// The variants of `kernel` to choose from over `dims`, the heuristic's choice first. Those by cooperative matrices are
    /// among them once they passed their self-test; those that emulate some are for checks alone.
    pub fn candidates(self: &Arc<Gpu>, kernel: &Kernel, dims: [u32; 4]) -> Vec<Variant> {
        let mut all = self.cooperative_for(kernel, dims);
        let preferred = kernel.heuristic(dims, self.abilities());
        let plain = |variant: &Variant| !matches!(variant, Variant::Cooperative(_)) && *variant != preferred;
        all.push(preferred);
        all.extend(kernel.variants(self.abilities()).into_iter().filter(plain));
        all.retain(|variant| self.takes(kernel, dims, *variant));
        all
    }

    /// Whether `variant` of `kernel` runs over `dims` within what the driver allows.
    pub(crate) fn takes(&self, kernel: &Kernel, dims: [u32; 4], variant: Variant) -> bool {
        let iterations = kernel.loop_iterations(variant, kernel.times(dims, 1));
        kernel.runs(variant, dims) && iterations <= self.most_loop_iterations()
    }
}

fn choose(gpu: &Arc<Gpu>, step: &Step, choice: &VariantChoice) -> Result<Variant> {
    let (kernel, dims) = (&step.kernel, step.uniform.dims);
    let found = match choice {
        // Before the others are asked for: the self-test of cooperative matrices comes here.
        VariantChoice::Forced(variant) if gpu.variants(kernel).contains(variant) => {
            Some(*variant).filter(|variant| gpu.takes(kernel, dims, *variant))
        }
        VariantChoice::Pinned(variants) if variants.get(kernel, dims).is_some() => {
            let candidates = gpu.candidates(kernel, dims);
            let name = variants.get(kernel, dims).unwrap_or_default();
            let found = candidates.iter().find(|variant| variant.to_string() == name);
            return found.copied().ok_or_else(|| {
                let known: Vec<_> = candidates.iter().map(Variant::to_string).collect();
                Error::Device(format!(
                    "{} cannot run {:?} as it was pinned: expected one of the variants {} of {kernel}, found {name:?}; \
                     run it on the device that it was pinned on, or let the variants be chosen anew",
                    gpu.info.name,
                    step.label,
                    known.join(", ")
                ))
            });
        }
        _ => gpu.candidates(kernel, dims).first().copied(),
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

/// How many dispatches of different lengths a step has: of one training step, two, four, … as many as the plan and the
/// driver allow.
fn lengths(gpu: &Gpu, step: &Step, variant: Variant) -> u32 {
    if !step.kernel.repeats() {
        return 1;
    }
    let Step { kernel, uniform, .. } = step;
    let iterations = |k: u32| kernel.loop_iterations(variant, kernel.times(uniform.dims, 1 << k));
    let allowed = |k: &u32| iterations(*k) <= gpu.most_loop_iterations();
    let longest = step.uniform.dims[1].max(1).ilog2();
    1 + (0..=longest).rev().find(allowed).unwrap_or(0)
}

fn dispatches(gpu: &Arc<Gpu>, plan: &Plan, buffers: &[wgpu::Buffer], choice: &VariantChoice) -> Result<Vec<Dispatch>> {
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
            let uniform = Uniform { dims: kernel.times(dims, 1 << k), ..step.uniform };
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

    fn stream(&mut self, slot: Slot, range: Range<usize>, pieces: &mut dyn Iterator<Item = &[f32]>) -> Result<()> {
        let index = locate(&self.plan, slot, &range, Element::Real)?;
        if self.plan.slots[index].element == Element::Half {
            let values: Vec<f32> = pieces.flatten().copied().take(range.len()).collect();
            if values.len() < range.len() {
                return Err(Error::shape("the numbers to stream", range.len(), values.len()));
            }
            return self.write_halves(slot, range.start, &values);
        }
        self.uploads.write(&self.gpu, &self.buffers[index], range, pieces)
    }

    fn run(&mut self, phases: &[Phase], times: usize) -> Result<()> {
        self.submit(phases, times, None)?;
        Ok(())
    }

    fn run_and_read(&mut self, phases: &[Phase], times: usize, slot: Slot, range: Range<usize>) -> Result<Readback> {
        let buffer = locate(&self.plan, slot, &range, Element::Real)?;
        let (layout, from) = Layout::of(self.plan.slots[buffer].element, &range, times);
        let bytes = layout.bytes();
        let staging = take_staging(&self.gpu.device, &self.staging, bytes * times as u64);
        let collection = Collection { buffer, from, bytes, staging: &staging };
        let submission = self.submit(phases, times, Some(&collection))?;
        Ok(self.readback(staging, layout, submission))
    }

    fn read(&mut self, slot: Slot, range: Range<usize>) -> Result<Readback> {
        let index = locate(&self.plan, slot, &range, Element::Real)?;
        let (layout, from) = Layout::of(self.plan.slots[index].element, &range, 1);
        let staging = take_staging(&self.gpu.device, &self.staging, layout.bytes());
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&self.buffers[index], from, &staging, 0, layout.bytes());
        let submission = self.gpu.queue.submit([encoder.finish()]);
        Ok(self.readback(staging, layout, submission))
    }

    fn buffer(&self, slot: Slot) -> Option<&wgpu::Buffer> {
        let index = self.plan.slots.iter().position(|info| info.slot == slot)?;
        Some(&self.buffers[index])
    }
}

/// A readable buffer of at least `bytes`: the smallest in the pool that has them, else a new one in the place of another.
fn take_staging(device: &wgpu::Device, pool: &Staging, bytes: u64) -> wgpu::Buffer {
    let mut pool = lock(pool);
    let large = pool.iter().enumerate().filter(|(_, buffer)| buffer.size() >= bytes);
    if let Some((at, _)) = large.min_by_key(|(_, buffer)| buffer.size()) {
        return pool.swap_remove(at);
    }
    pool.pop();
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wgrad.staging"),
        size: bytes.max(4),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}
