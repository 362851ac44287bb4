//! The devices that tests run on.

use wgrad::{Device, DeviceChoice};

/// The best adapter, a software one counts. A machine without one fails the test: nothing passes by skipping.
#[allow(clippy::panic)] // a test says what failed by panicking
pub fn gpu() -> Device {
    match Device::select(&DeviceChoice::Gpu) {
        Ok(selection) => selection.device,
        Err(error) => panic!("this test needs an adapter: {error} (scripts/test installs one)"),
    }
}

/// A device as a program opens one that asks for nothing but these limits: without subgroups and f16.
#[allow(dead_code)] // some tests need none
pub fn plain(required_limits: wgpu::Limits) -> Device {
    open(wgpu::Features::empty(), required_limits)
}

/// A device with these features and limits alone.
#[allow(dead_code)] // some tests need none
pub fn open(required_features: wgpu::Features, required_limits: wgpu::Limits) -> Device {
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..wgpu::DeviceDescriptor::default() };
    pollster::block_on(async {
        let options = wgpu::RequestAdapterOptions::default();
        let adapter = wgpu::Instance::default().request_adapter(&options).await.expect("an adapter");
        let (device, queue) = adapter.request_device(&descriptor).await.expect("a device");
        Device::from_wgpu(&adapter, device, queue)
    })
}
