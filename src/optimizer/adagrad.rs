use super::{check_decay, check_epsilon};
use crate::Result;
use crate::real::Real;
use serde::{Deserialize, Serialize};

/// Adagrad (Duchi et al. 2011) as in PyTorch: `g ← g + λ p`, `s ← s + g²`, then `p ← p - lr g / (√s + ε)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adagrad {
    /// `ε`, > 0.
    pub epsilon: f32,
    /// `λ`, the weight decay as an L2 penalty, ≥ 0.
    pub weight_decay: f32,
}

impl Default for Adagrad {
    fn default() -> Self {
        Adagrad { epsilon: 1e-10, weight_decay: 0.0 }
    }
}

pub(super) const STATES: &[&str] = &["sum_of_squares"];
pub(super) const WGSL: &str = include_str!("../../shaders/optimizer/adagrad.wgsl");

impl Adagrad {
    pub(super) fn hyper(&self) -> [f32; 4] {
        [self.epsilon, self.weight_decay, 0.0, 0.0]
    }

    pub(super) fn corrections(&self, _step: u64) -> [f64; 2] {
        [1.0; 2]
    }

    pub(super) fn validate(&self) -> Result<()> {
        check_epsilon(self.epsilon)?;
        check_decay(self.weight_decay)
    }
}

#[inline(always)]
pub(super) fn update<T: Real>(p: T, g: T, [learning_rate, ..]: [T; 3], hyper: [T; 4], state: &mut [T]) -> T {
    let [epsilon, weight_decay, ..] = hyper;
    let g = g + weight_decay * p;
    state[0] += g * g;
    p - learning_rate * g / (state[0].sqrt() + epsilon)
}
