use super::check_decay;
use crate::Result;
use crate::real::Real;
use serde::{Deserialize, Serialize};

/// Stochastic gradient descent: `g ← g + λ p`, then `p ← p - lr g`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// `λ`, the weight decay as an L2 penalty, ≥ 0.
    pub weight_decay: f32,
}

pub(super) const STATES: &[&str] = &[];
pub(super) const WGSL: &str = include_str!("../../shaders/optimizer/sgd.wgsl");

impl Sgd {
    pub(super) fn hyper(&self) -> [f32; 4] {
        [self.weight_decay, 0.0, 0.0, 0.0]
    }

    pub(super) fn corrections(&self, _step: u64) -> [f64; 2] {
        [1.0; 2]
    }

    pub(super) fn validate(&self) -> Result<()> {
        check_decay(self.weight_decay)
    }
}

#[inline(always)]
pub(super) fn update<T: Real>(p: T, g: T, [learning_rate, ..]: [T; 3], hyper: [T; 4], _state: &mut [T]) -> T {
    let [weight_decay, ..] = hyper;
    p - learning_rate * (g + weight_decay * p)
}
