//! Seeded initial weights.

use crate::activation::Activation;
use crate::error::try_zeros;
use crate::network::Network;
use crate::params::{Params, Role, Tensor};
use crate::random::{Purpose, generator};
use crate::{Error, Result};
use rand_distr::{Distribution, Normal, Uniform};
use serde::{Deserialize, Serialize};

/// How initial weights are drawn, for a layer of `inputs × outputs`. Biases start at 0, a normalisation with scale 1, shift 0,
/// mean 0 and variance 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Init {
    /// He for the relu family (relu, leaky relu, elu, silu, gelu, softplus), Xavier for the others; uniform. For a custom
    /// activation, He's argument with its own mean square: uniform in ±√(3 / (inputs · E f(z)²)) for normal `z`, which
    /// keeps the variance of pre-activations from layer to layer; Xavier where that mean is 0 or not finite.
    #[default]
    Auto,
    /// Uniform in ±√(6 / (inputs + outputs)). Glorot and Bengio 2010.
    XavierUniform,
    /// Normal with deviation √(2 / (inputs + outputs)). Glorot and Bengio 2010.
    XavierNormal,
    /// Uniform in ±√(6 / inputs). He et al. 2015.
    HeUniform,
    /// Normal with deviation √(2 / inputs). He et al. 2015.
    HeNormal,
    /// Uniform in ±`bound`.
    Uniform {
        /// The largest magnitude, > 0.
        bound: f64,
    },
    /// Normal around 0.
    Normal {
        /// The standard deviation, > 0.
        deviation: f64,
    },
}

impl Init {
    fn resolve(self, activation: Activation, inputs: f64) -> Init {
        use Activation::{Custom, Elu, Gelu, LeakyRelu, Relu, Silu, Softplus};
        match (self, activation) {
            (Init::Auto, Relu | LeakyRelu | Elu | Silu | Gelu | Softplus) => Init::HeUniform,
            (Init::Auto, Custom(_)) => {
                let bound = (3.0 / (inputs * mean_square(activation))).sqrt();
                if is_positive(bound) { Init::Uniform { bound } } else { Init::XavierUniform }
            }
            (Init::Auto, _) => Init::XavierUniform,
            (explicit, _) => explicit,
        }
    }
}

/// Draws the arena of initial values for `network`: the same bits for the same seed on every machine.
pub fn initialize(network: &Network, params: &Params, init: Init, seed: u64) -> Result<Vec<f32>> {
    let mut rng = generator(seed, Purpose::Weights);
    let mut arena = try_zeros("the parameter arena", params.len)?;
    let ones = |t: &&Tensor| matches!(t.role, Role::Scale | Role::RunningVariance);
    params.tensors.iter().filter(ones).for_each(|tensor| arena[tensor.range()].fill(1.0));
    for tensor in params.tensors.iter().filter(|t| t.role == Role::Weight) {
        let (inputs, outputs) = (tensor.cols as f64, tensor.rows as f64);
        let values = &mut arena[tensor.range()];
        match init.resolve(network.layers[tensor.layer].activation, inputs) {
            Init::Auto | Init::XavierUniform => uniform((6.0 / (inputs + outputs)).sqrt(), values, &mut rng)?,
            Init::XavierNormal => normal((2.0 / (inputs + outputs)).sqrt(), values, &mut rng)?,
            Init::HeUniform => uniform((6.0 / inputs).sqrt(), values, &mut rng)?,
            Init::HeNormal => normal((2.0 / inputs).sqrt(), values, &mut rng)?,
            Init::Uniform { bound } => uniform(bound, values, &mut rng)?,
            Init::Normal { deviation } => normal(deviation, values, &mut rng)?,
        }
    }
    Ok(arena)
}

/// `E f(z)²` for `z` from the standard normal distribution, by the trapezoidal rule; to 8 bits, so that the last digits of
/// functions, which differ between machines, do not show in initial weights.
fn mean_square(activation: Activation) -> f64 {
    const STEPS: i32 = 512;
    let term = |i: i32| {
        let z = f64::from(i) / 64.0;
        (-0.5 * z * z).exp() * activation.value(z).powi(2)
    };
    let mean = (-STEPS..=STEPS).map(term).sum::<f64>() / (64.0 * std::f64::consts::TAU.sqrt());
    let unit = mean.log2().floor().exp2() / 128.0;
    (mean / unit).round() * unit
}

/// Whether an `f32` can hold `x` as a positive number.
fn is_positive(x: f64) -> bool {
    (x as f32) > 0.0 && (x as f32).is_finite()
}

fn uniform(bound: f64, values: &mut [f32], rng: &mut impl rand::Rng) -> Result<()> {
    let refused = || Error::Config(format!("the bound of uniform initial weights must be > 0, found {bound}"));
    let uniform = Uniform::new_inclusive(-bound, bound).ok().filter(|_| is_positive(bound)).ok_or_else(refused)?;
    values.iter_mut().for_each(|w| *w = uniform.sample(rng) as f32);
    Ok(())
}

fn normal(deviation: f64, values: &mut [f32], rng: &mut impl rand::Rng) -> Result<()> {
    let refused = || Error::Config(format!("the deviation of normal initial weights must be > 0, found {deviation}"));
    let normal = Normal::new(0.0, deviation).ok().filter(|_| is_positive(deviation)).ok_or_else(refused)?;
    values.iter_mut().for_each(|w| *w = normal.sample(rng) as f32);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_custom_activation_starts_by_its_own_mean_square() {
        let bound = |text: &str| match Init::Auto.resolve(Activation::custom(text).unwrap(), 50.0) {
            Init::Uniform { bound } => bound,
            other => panic!("{text}: {other:?}"),
        };
        // That of relu is ½: He's bound.
        assert_eq!(bound("relu(x)"), (6.0 / 50.0f64).sqrt());
        assert_eq!(bound("3 * x"), (3.0 / 450.0f64).sqrt());
        let mish = bound("x * tanh(softplus(x))");
        assert!((0.36..0.40).contains(&mish), "{mish}");
        for strange in ["0 * x", "exp(60 * x)"] {
            assert_eq!(
                Init::Auto.resolve(Activation::custom(strange).unwrap(), 50.0),
                Init::XavierUniform,
                "{strange}"
            );
        }
    }
}
