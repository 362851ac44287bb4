//! wgrad

pub mod activation;
pub mod data;
pub mod error;
pub mod init;
pub mod loss;
pub mod network;
pub mod params;
pub mod random;
pub mod real;

pub use activation::Activation;
pub use error::{Error, Result};
pub use init::Init;
pub use loss::Loss;
pub use network::{Bias, Layer, Network};
pub use params::Params;
