//! The precision of a training step, and the f16 numbers of mixed precision.

use crate::error::did_you_mean;
use crate::kernel::{Kernel, Mixed};
use crate::{Error, Result};

/// The relative error of rounding to the nearest f16: 2⁻¹¹.
pub const HALF_ROUNDOFF: f64 = 1.0 / 2048.0;

/// Half of the smallest f16 above 0, by which rounding may err beside [`HALF_ROUNDOFF`]: 2⁻²⁵.
pub const HALF_UNDERFLOW: f64 = 1.0 / 33_554_432.0;

/// The largest f16.
pub const HALF_MAX: f64 = 65_504.0;

/// What a training step stores its matrices in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// f32 throughout.
    #[default]
    F32,
    /// Mixed: weights for products, activations and deltas in f16; sums, gradients and the weights that the optimizer
    /// changes in f32. Deltas are multiplied by a dynamic loss scale, so that small ones do not vanish.
    F16,
}

impl Precision {
    /// The name on the command line and in printed results.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
        }
    }

    /// The form of `kernel` that takes its matrices in this precision.
    pub fn of(self, kernel: Kernel) -> Kernel {
        match self {
            Precision::F32 => kernel,
            Precision::F16 => Mixed::of(kernel),
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What `--precision` says. [`Device::precision`](crate::Device::precision) decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrecisionChoice {
    /// [`Precision::F32`]
    #[default]
    F32,
    /// [`Precision::F16`], an error where the device has no f16.
    F16,
    /// [`Precision::F16`] where the adapter has cooperative matrices that passed their self-test.
    Auto,
}

impl PrecisionChoice {
    /// Every choice.
    pub const ALL: &'static [PrecisionChoice] = &[PrecisionChoice::F32, PrecisionChoice::F16, PrecisionChoice::Auto];

    /// The name on the command line and in configurations.
    pub fn name(self) -> &'static str {
        match self {
            PrecisionChoice::F32 => "f32",
            PrecisionChoice::F16 => "f16",
            PrecisionChoice::Auto => "auto",
        }
    }
}

impl std::str::FromStr for PrecisionChoice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let names = || PrecisionChoice::ALL.iter().map(|choice| choice.name());
        PrecisionChoice::ALL.iter().copied().find(|choice| choice.name() == name).ok_or_else(|| {
            let (nearest, known) = (did_you_mean(name, names()), names().collect::<Vec<_>>().join(", "));
            Error::Config(format!("unknown precision {name:?}{nearest}; known: {known}"))
        })
    }
}

impl std::fmt::Display for PrecisionChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
