//! wgrad

pub mod activation;
pub mod check;
pub mod checkpoint;
pub mod compare;
pub mod cpu;
pub mod data;
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
pub mod predict;
pub mod random;
pub mod real;
pub mod reference;
pub mod train;

pub use activation::Activation;
pub use checkpoint::Model;
pub use data::{Dataset, Matrix};
pub use device::{Device, DeviceChoice};
pub use error::{Error, Result};
pub use init::Init;
pub use loss::Loss;
pub use network::{Bias, Layer, Network};
pub use optimizer::Optimizer;
pub use params::Params;
pub use predict::Predictor;
pub use train::{Batch, Trainer, TrainerOptions};
