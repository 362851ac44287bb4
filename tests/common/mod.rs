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
