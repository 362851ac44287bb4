//! wgrad

pub mod activation;
pub mod cpu;
pub mod device;
pub mod error;
pub mod executor;
pub mod gpu;
pub mod init;
pub mod kernel;
pub mod loss;
pub mod network;
pub mod optimizer;
pub mod params;
pub mod plan;
pub mod random;
pub mod real;

pub use activation::Activation;
pub use device::{Device, DeviceChoice};
pub use error::{Error, Result};
pub use init::Init;
pub use loss::Loss;
pub use network::{Bias, Layer, Network};
pub use params::Params;
