//! Where to compute: the CPU or an adapter, chosen by the user or by what is there.

use crate::cpu::{self, CpuExecutor, Products};
use crate::executor::Executor;
use crate::gpu::{AdapterEntry, Gpu, GpuExecutor, VariantChoice, list_adapters};
use crate::kernel::resident::DEFAULT_WORKGROUP_MEMORY;
use crate::kernel::{Kernel, Variant};
use crate::plan::Plan;
use crate::precision::{Precision, PrecisionChoice};
use crate::{Error, Result};
use std::sync::Arc;

/// A place to compute.
#[derive(Clone)]
pub enum Device {
    /// The CPU executor, in `f32`.
    Cpu,
    /// An adapter.
    Gpu(Arc<Gpu>),
}

/// What `--device` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// By rule of thumb: the best real GPU; where there is none, or only a software rasteriser, the CPU. For a network at
    /// hand [`Tuner::select`](crate::tune::Tuner::select) measures instead.
    #[default]
    Auto,
    /// The best adapter, a software one counts.
    Gpu,
    /// The CPU.
    Cpu,
    /// An adapter by its number in [`list_adapters`] or by a part of its name.
    Named(String),
}

impl From<&str> for DeviceChoice {
    fn from(text: &str) -> Self {
        match text {
            "auto" => DeviceChoice::Auto,
            "gpu" => DeviceChoice::Gpu,
            "cpu" => DeviceChoice::Cpu,
            name => DeviceChoice::Named(name.to_owned()),
        }
    }
}

/// A device, and why it was taken.
pub struct Selection {
    /// The device.
    pub device: Device,
    /// The reason, as a clause: `the best real GPU`.
    pub reason: String,
}

impl Device {
    /// Takes a device that the caller owns. See [`Gpu::from_wgpu`].
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Device {
        Device::Gpu(Gpu::from_wgpu(adapter, device, queue))
    }

    /// Chooses and opens a device; blocks until it is open.
    pub fn select(choice: &DeviceChoice) -> Result<Selection> {
        pollster::block_on(Self::select_async(choice))
    }

    /// Chooses and opens a device.
    ///
    /// # Errors
    /// Where the choice asks for an adapter and none is there, where a name fits none, or where the adapter refuses.
    pub async fn select_async(choice: &DeviceChoice) -> Result<Selection> {
        if *choice == DeviceChoice::Cpu {
            return Ok(Selection { device: Device::Cpu, reason: "asked for".into() });
        }
        let adapters = list_adapters().await;
        let (entry, reason) = match choose(&adapters, choice)? {
            (Some(entry), reason) => (entry, reason),
            (None, reason) => return Ok(Selection { device: Device::Cpu, reason }),
        };
        Ok(Selection { device: Device::Gpu(Gpu::open(&entry.adapter).await?), reason })
    }

    /// Opens the device whose [`Device::name`] is `name`; `None` where there is none. Blocks until it is open.
    pub fn called(name: &str) -> Result<Option<Device>> {
        if name == cpu::name() {
            return Ok(Some(Device::Cpu));
        }
        pollster::block_on(async {
            let adapters = list_adapters().await;
            match adapters.iter().find(|entry| entry.describe() == name) {
                Some(entry) => Ok(Some(Device::Gpu(Gpu::open(&entry.adapter).await?))),
                None => Ok(None),
            }
        })
    }

    /// The device's name, with back end and driver.
    pub fn name(&self) -> String {
        match self {
            Device::Cpu => cpu::name(),
            Device::Gpu(gpu) => crate::gpu::describe(gpu.info()),
        }
    }

    /// What the driver reported since the last call, as an error; a lost device stays lost.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Device::Cpu => Ok(()),
            Device::Gpu(gpu) => {
                // That it is lost is said in a poll; what else a poll says, whatever waits finds out.
                let _ = gpu.device().poll(wgpu::PollType::Poll);
                gpu.check()
            }
        }
    }

    /// Whether plans of [`Precision::F16`](crate::Precision::F16) run here. The CPU computes in f32 and rounds to f16.
    pub fn has_half(&self) -> bool {
        match self {
            Device::Cpu => true,
            Device::Gpu(gpu) => gpu.device().features().contains(wgpu::Features::SHADER_F16),
        }
    }

    /// The precision that `choice` means here, and why, as a clause.
    ///
    /// # Errors
    /// Where f16 is asked for and the adapter has none.
    pub fn precision(&self, choice: PrecisionChoice) -> Result<(Precision, String)> {
        let asked_for = "asked for".to_owned();
        match (choice, self) {
            (PrecisionChoice::F32, _) => Ok((Precision::F32, asked_for)),
            (PrecisionChoice::F16, _) if self.has_half() => Ok((Precision::F16, asked_for)),
            (PrecisionChoice::F16, _) => {
                Err(Error::Device(format!("{} has no f16 in shaders; use --precision f32", self.name())))
            }
            (PrecisionChoice::Auto, Device::Cpu) => Ok((Precision::F32, "the CPU has no cooperative matrices".into())),
            (PrecisionChoice::Auto, Device::Gpu(gpu)) => {
                let precision = if gpu.cooperative().is_empty() { Precision::F32 } else { Precision::F16 };
                Ok((precision, gpu.cooperative_reason()))
            }
        }
    }

    /// The variants of `kernel` that this device can run; on the CPU its executor's one way counts as the naive one.
    pub fn variants(&self, kernel: &Kernel) -> Vec<Variant> {
        match self {
            Device::Cpu => vec![Variant::Naive],
            Device::Gpu(_) if kernel.needs_half() && !self.has_half() => Vec::new(),
            Device::Gpu(gpu) => gpu.variants(kernel),
        }
    }

    /// Bytes of workgroup memory that a kernel may take; on the CPU, where memory is memory, WebGPU's default.
    pub fn workgroup_memory(&self) -> usize {
        match self {
            Device::Cpu => DEFAULT_WORKGROUP_MEMORY,
            Device::Gpu(gpu) => gpu.device().limits().max_compute_workgroup_storage_size as usize,
        }
    }

    /// Bytes that one slot of a plan may have here; a larger data set is streamed.
    pub fn most_slot_bytes(&self) -> u64 {
        match self {
            Device::Cpu => u64::MAX,
            Device::Gpu(gpu) => gpu.most_slot_bytes(),
        }
    }

    /// Makes an executor for `plan`, all slots zero.
    pub fn executor(&self, plan: Plan) -> Result<Box<dyn Executor>> {
        self.executor_with(plan, VariantChoice::Heuristic)
    }

    /// Makes an executor for `plan` with the given kernel variants.
    pub fn executor_with(&self, plan: Plan, variants: VariantChoice) -> Result<Box<dyn Executor>> {
        Ok(match self {
            Device::Cpu => Box::new(CpuExecutor::<f32>::new(plan, Products::Gemm)?),
            Device::Gpu(gpu) => Box::new(GpuExecutor::new(gpu.clone(), plan, variants)?),
        })
    }
}

/// The adapter that `choice` means among those listed, or `None` for the CPU, and why.
pub fn choose<'a>(adapters: &'a [AdapterEntry], choice: &DeviceChoice) -> Result<(Option<&'a AdapterEntry>, String)> {
    let none = "no adapter with compute shaders was found; install a Vulkan driver (on Debian the package \
                mesa-vulkan-drivers has a software one), unset WGPU_BACKEND and WGPU_ADAPTER_NAME, or use --device cpu";
    match choice {
        DeviceChoice::Cpu => Ok((None, "asked for".into())),
        DeviceChoice::Auto => Ok(match adapters.first() {
            None => (None, "no GPU was found".into()),
            Some(entry) if entry.is_software() => {
                let reason =
                    format!("the best adapter, {}, is a software rasteriser; --device gpu takes it", entry.info.name);
                (None, reason)
            }
            Some(entry) => (Some(entry), "the best real GPU".into()),
        }),
        DeviceChoice::Gpu => match adapters.first() {
            None => Err(Error::Device(none.into())),
            Some(entry) => Ok((Some(entry), "the best adapter".into())),
        },
        DeviceChoice::Named(name) if name.trim().is_empty() => {
            Err(Error::Config("--device needs cpu, gpu, auto, a number, or a part of an adapter's name".into()))
        }
        DeviceChoice::Named(name) => {
            let by_number = name.parse().ok().and_then(|number: usize| adapters.get(number));
            let lower = name.to_lowercase();
            let by_name = || adapters.iter().find(|entry| entry.info.name.to_lowercase().contains(&lower));
            match by_number.or_else(by_name) {
                Some(entry) => Ok((Some(entry), format!("--device {name}"))),
                None if adapters.is_empty() => Err(Error::Device(none.into())),
                None => {
                    let listed = adapters.iter().enumerate().map(|(i, entry)| format!("{i}: {}", entry.describe()));
                    let listed: Vec<_> = listed.collect();
                    Err(Error::Device(format!(
                        "no adapter is called {name:?}; use cpu, gpu, auto, or one of {}",
                        listed.join("; ")
                    )))
                }
            }
        }
    }
}
