//! The GPU side: adapters, the device with its pipeline cache, and the executor that runs a plan on it.

mod adapters;
mod cooperative;
mod executor;
mod once;
mod uploads;

pub(crate) use adapters::describe;
pub use adapters::{AdapterEntry, list_adapters};
pub use executor::{GpuExecutor, VariantChoice};

use crate::kernel::{Abilities, Access, Cooperative, Kernel, Load, SOFTWARE_LANES, Uniform, Variant};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A wgpu device with what is built once on it: pipelines, keyed by their final WGSL.
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    pipelines: Mutex<HashMap<String, Arc<Pipeline>>>,
    /// The cooperative matrices that the device offers.
    cooperative: Vec<Cooperative>,
    /// Those of them that passed their self-test, once it ran.
    trusted: OnceLock<Vec<Cooperative>>,
    /// What the driver reported outside of any call that could return it.
    fault: Arc<Mutex<Fault>>,
}

/// What a driver reported: an error is reported on once, a lost device stays lost.
#[derive(Default)]
struct Fault {
    error: Option<String>,
    lost: Option<String>,
}

pub(crate) struct Pipeline {
    pub(crate) layout: wgpu::BindGroupLayout,
    pub(crate) compute: wgpu::ComputePipeline,
}

impl Gpu {
    /// Opens a device on `adapter` with all the limits that the adapter has.
    pub async fn open(adapter: &wgpu::Adapter) -> Result<Arc<Gpu>> {
        let info = adapter.get_info();
        let mut usual = wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16;
        if info.device_type == wgpu::DeviceType::Cpu {
            usual |= wgpu::Features::SHADER_INT64;
        }
        usual &= adapter.features();
        let descriptor = |more| wgpu::DeviceDescriptor {
            label: Some("wgrad"),
            required_features: usual | more,
            required_limits: adapter.limits(),
            ..wgpu::DeviceDescriptor::default()
        };
        let experimental = adapter.features() & wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let mut opened = None;
        if !experimental.is_empty() && !cooperative::switched_off() {
            let mut descriptor = descriptor(experimental);
            // SAFETY: what may go wrong is that a driver errs, and nothing is trusted before its self-test.
            descriptor.experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
            opened = adapter.request_device(&descriptor).await.ok();
        }
        let opened = match opened {
            Some(opened) => Ok(opened),
            None => adapter.request_device(&descriptor(wgpu::Features::empty())).await,
        };
        let (device, queue) = opened
            .map_err(|error| Error::Device(format!("the adapter {} refused to open a device: {error}", info.name)))?;
        let gpu = Self::from_wgpu(adapter, device, queue);
        let fault = gpu.fault.clone();
        gpu.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&fault).error.get_or_insert(error.to_string());
        }));
        let fault = gpu.fault.clone();
        gpu.device.set_device_lost_callback(move |_, message| {
            lock(&fault).lost.get_or_insert(format!("the device was lost: {message}"));
        });
        Ok(gpu)
    }

    /// Takes a device that the caller owns, with whatever limits the caller requested. The caller's handlers for
    /// errors and for a lost device stay as they are.
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Arc<Gpu> {
        let info = adapter.get_info();
        let mut gpu = Gpu {
            device,
            queue,
            info,
            pipelines: Mutex::default(),
            cooperative: Vec::new(),
            trusted: OnceLock::new(),
            fault: Arc::default(),
        };
        let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16;
        if gpu.device.features().contains(needed) && !cooperative::switched_off() {
            let memory = gpu.device.limits().max_compute_workgroup_storage_size;
            gpu.cooperative = cooperative::candidates(&adapter.cooperative_matrix_properties(), gpu.subgroup(), memory);
        }
        Arc::new(gpu)
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// Name, back end and driver of the adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// The size of subgroups, `None` where the device has none or their size may change.
    pub fn subgroup(&self) -> Option<u32> {
        let fixed = self.info.subgroup_min_size == self.info.subgroup_max_size;
        (fixed && self.device.features().contains(wgpu::Features::SUBGROUP)).then_some(self.info.subgroup_max_size)
    }

    /// What decides which variants of kernels there are. 64-bit integers are for software rasterisers: a GPU loads a vector
    /// of four at once anyway.
    pub fn abilities(&self) -> Abilities {
        let subgroup = self.subgroup();
        let load = match self.device.features().contains(wgpu::Features::SHADER_INT64) {
            true => Load::Pairs,
            false => Load::Vector,
        };
        let software = self.info.device_type == wgpu::DeviceType::Cpu && subgroup == Some(SOFTWARE_LANES);
        Abilities { subgroup, software: software.then_some(load) }
    }

    /// Iterations of all loops together that an invocation may take. Mesa's llvmpipe leaves every loop of a shader after
    /// 65,535 without a word (`LP_MAX_TGSI_LOOP_ITERATIONS`).
    pub(crate) fn most_loop_iterations(&self) -> u64 {
        if self.info.name.contains("llvmpipe") { 65_000 } else { u64::MAX }
    }

    /// How many pipelines have been built so far.
    pub fn pipeline_count(&self) -> usize {
        lock(&self.pipelines).len()
    }

    /// Whether there is a pipeline of this final text.
    pub(crate) fn has_compiled(&self, wgsl: &str) -> bool {
        lock(&self.pipelines).contains_key(wgsl)
    }

    /// Bytes that a buffer may have which a shader binds as a whole.
    pub(crate) fn most_slot_bytes(&self) -> u64 {
        let limits = self.device.limits();
        limits.max_buffer_size.min(limits.max_storage_buffer_binding_size)
    }

    /// Waits for a submission.
    pub(crate) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        self.device
            .poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })
            .map_err(|error| Error::Device(format!("{} did not give its results: {error}", self.info.name)))?;
        self.check()
    }

    /// What the driver reported since the last call, as an error.
    pub(crate) fn check(&self) -> Result<()> {
        let mut fault = lock(&self.fault);
        match fault.lost.clone().or_else(|| fault.error.take()) {
            None => Ok(()),
            Some(what) => Err(Error::Device(format!("{}: {what}", self.info.name))),
        }
    }

    /// What `what` gives, and the first error that it caused, of any kind: a text that a driver fails to compile is not an
    /// error of validation.
    pub(crate) fn guarded<T>(&self, what: impl FnOnce() -> T) -> (T, Option<wgpu::Error>) {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        let scopes = [OutOfMemory, Internal, Validation].map(|filter| self.device.push_error_scope(filter));
        let result = what();
        // They are nested: the last one ends first.
        let errors = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop()));
        let error = errors.reduce(|first, _| first);
        (result, error)
    }

    pub(crate) fn pipeline(&self, kernel: &Kernel, variant: Variant) -> Result<Arc<Pipeline>> {
        let wgsl = kernel.wgsl(variant);
        if let Some(pipeline) = lock(&self.pipelines).get(&wgsl) {
            return Ok(pipeline.clone());
        }
        let (pipeline, refused) = self.guarded(|| Arc::new(self.build(kernel, variant, &wgsl)));
        if let Some(error) = refused {
            return Err(Error::Device(format!(
                "{} cannot run the kernel {kernel} ({variant}): {error}",
                self.info.name
            )));
        }
        lock(&self.pipelines).insert(wgsl, pipeline.clone());
        Ok(pipeline)
    }

    fn build(&self, kernel: &Kernel, variant: Variant, wgsl: &str) -> Pipeline {
        let label = format!("wgrad.{}.{variant}", kernel.stem());
        let entry = |binding, ty, size| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: size },
            count: None,
        };
        let uniform_size = std::num::NonZeroU64::new(size_of::<Uniform>() as u64);
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, uniform_size)];
        entries.extend(kernel.bindings().iter().map(|spec| {
            let ty = match spec.access {
                Access::Constant => wgpu::BufferBindingType::Uniform,
                access => wgpu::BufferBindingType::Storage { read_only: access == Access::Read },
            };
            entry(spec.index, ty, None)
        }));
        let layout = self
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(&label), entries: &entries });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let module = self.module(kernel, &label, wgsl);
        let compute = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every kernel writes its workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: None,
        });
        Pipeline { layout, compute }
    }

    /// The one place where the shader compiler's runtime checks are switched off. They cost a third to half of the time.
    fn module(&self, kernel: &Kernel, label: &str, wgsl: &str) -> wgpu::ShaderModule {
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(label), source: wgpu::ShaderSource::Wgsl(wgsl.into()) };
        if !kernel.stays_in_bounds() {
            return self.device.create_shader_module(descriptor);
        }
        // SAFETY: the text is ours, its loops end, and its indices follow from sizes that the plan was validated for.
        // `wgrad check` runs each such kernel between guard bands.
        unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
