use wgpu::{Backend, DeviceType};

/// An adapter as `--device` sees it.
pub struct AdapterEntry {
    /// The adapter.
    pub adapter: wgpu::Adapter,
    /// Name, back end, driver.
    pub info: wgpu::AdapterInfo,
}

impl AdapterEntry {
    /// Whether it is a software rasteriser, which is taken unasked only where it was measured to be fastest.
    pub fn is_software(&self) -> bool {
        self.info.device_type == DeviceType::Cpu
    }

    /// `NVIDIA H200 (Vulkan, driver NVIDIA 570.1)`
    pub fn describe(&self) -> String {
        describe(&self.info)
    }
}

/// `NVIDIA H200 (Vulkan, driver NVIDIA 570.1)`
pub(crate) fn describe(info: &wgpu::AdapterInfo) -> String {
    let driver = [info.driver.as_str(), info.driver_info.as_str()].join(" ");
    match driver.trim() {
        "" => format!("{} ({})", info.name, info.backend),
        driver => format!("{} ({}, driver {driver})", info.name, info.backend),
    }
}

/// The adapters that can run compute shaders, the best first: by kind (discrete, integrated, virtual, unknown, software),
/// then native back ends before GL. `WGPU_BACKEND` restricts the back ends, `WGPU_ADAPTER_NAME` the names.
pub async fn list_adapters() -> Vec<AdapterEntry> {
    // An empty variable is one that a script unset.
    let wanted = wgpu::Backends::from_env().filter(|backends| !backends.is_empty());
    let backends = wanted.unwrap_or(wgpu::Backends::all());
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    let instance = wgpu::Instance::new(descriptor);
    let wanted = std::env::var("WGPU_ADAPTER_NAME").unwrap_or_default().to_lowercase();
    let mut entries: Vec<_> = instance
        .enumerate_adapters(backends)
        .await
        .into_iter()
        .filter(|adapter| adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS))
        .map(|adapter| AdapterEntry { info: adapter.get_info(), adapter })
        .filter(|entry| entry.info.name.to_lowercase().contains(&wanted))
        .collect();
    entries.sort_by_key(|entry| rank(&entry.info));
    entries
}

fn rank(info: &wgpu::AdapterInfo) -> (u8, u8) {
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    };
    (kind, u8::from(info.backend == Backend::Gl))
}
