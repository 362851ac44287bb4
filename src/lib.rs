//! Train dense neural networks by backpropagation in WGSL compute shaders, on any GPU that wgpu reaches, with every
//! gradient proven against a CPU reference. Where no GPU is present the same plan runs on the CPU.
//!
//! # The tour
//! * [`Network`] says what: widths, activations, bias modes, frozen parameters. It is plain data.
//! * [`Params`] says where: each tensor's place in one flat arena.
//! * [`kernel::Kernel`] says how: WGSL text, bindings, variants; its twin on the CPU bears the same name in [`cpu`].
//! * [`plan::Plan`] says in what order: **backpropagation is wired in [`plan::Plan::training`]**. Print one to read it.
//! * [`executor::Executor`] says who: [`gpu::GpuExecutor`] or [`cpu::CpuExecutor`], chosen by [`Device`].
//! * [`Trainer`] says when: **a training step happens in [`Trainer::step`]**, an epoch in [`Trainer::fit`].
//! * [`reference`] is the oracle, with wiring of its own; [`check`] is the proof that everything agrees.
//!
//! # Training
//! ```
//! use wgrad::{Activation, Batch, Device, DeviceChoice, Loss, Network, Trainer, TrainerOptions};
//!
//! # fn main() -> wgrad::Result<()> {
//! let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Linear);
//! let device = Device::select(&DeviceChoice::Auto)?.device;
//! let options = TrainerOptions { batch: 4, learning_rate: 0.5, ..TrainerOptions::new(Loss::BinaryCrossEntropy) };
//! let mut trainer = Trainer::new(&device, network, options)?;
//!
//! let xor = Batch { inputs: &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], targets: &[0.0, 1.0, 1.0, 0.0] };
//! trainer.load(&xor)?;
//! trainer.repeat(2000)?;
//! assert!(trainer.losses()?[0] < 0.05);
//! # Ok(())
//! # }
//! ```

pub mod activation;
pub mod check;
pub mod checkpoint;
pub mod compare;
pub mod cpu;
mod custom;
pub mod data;
pub mod device;
pub mod error;
pub mod exchange;
pub mod executor;
pub mod gpu;
pub mod graph;
pub mod init;
pub mod jet;
pub mod kernel;
pub mod loss;
pub mod metrics;
pub mod network;
pub mod optimizer;
mod pace;
pub mod params;
pub mod plan;
pub mod precision;
pub mod predict;
pub mod random;
pub mod real;
pub mod reference;
pub mod schedule;
pub mod train;
pub mod treatment;
pub mod tune;

pub use activation::Activation;
pub use checkpoint::Model;
pub use data::{Dataset, Matrix};
pub use device::{Device, DeviceChoice};
pub use error::{Error, Result};
pub use init::Init;
pub use loss::Loss;
pub use metrics::Metrics;
pub use network::{Bias, Dropout, Layer, Network, Normalization};
pub use optimizer::Optimizer;
pub use params::Params;
pub use precision::{Precision, PrecisionChoice};
pub use predict::Predictor;
pub use schedule::Schedule;
pub use train::{Batch, Trainer, TrainerOptions};
pub use treatment::Treatments;

/// The README's example, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
