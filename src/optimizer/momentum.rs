use super::{check_decay, check_share};
use crate::Result;
use crate::real::Real;
use serde::{Deserialize, Serialize};

/// Stochastic gradient descent with momentum, in the form of Sutskever et al. 2013 that PyTorch uses: `g ← g + λ p`,
/// `v ← μ v + g`, then `p ← p - lr v`, or `p ← p - lr (g + μ v)` with Nesterov's correction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Momentum {
    /// `μ`, in [0, 1).
    pub momentum: f32,
    /// Whether to look ahead by one step.
    pub nesterov: bool,
    /// `λ`, the weight decay as an L2 penalty, ≥ 0.
    pub weight_decay: f32,
}

impl Default for Momentum {
    fn default() -> Self {
        Momentum { momentum: 0.9, nesterov: false, weight_decay: 0.0 }
    }
}

pub(super) const STATES: &[&str] = &["velocity"];
pub(super) const WGSL: &str = include_str!("../../shaders/optimizer/momentum.wgsl");

impl Momentum {
    pub(super) fn hyper(&self) -> [f32; 4] {
        [self.momentum, f32::from(u8::from(self.nesterov)), self.weight_decay, 0.0]
    }

    pub(super) fn corrections(&self, _step: u64) -> [f64; 2] {
        [1.0; 2]
    }

    pub(super) fn validate(&self) -> Result<()> {
        check_share("the momentum", self.momentum)?;
        check_decay(self.weight_decay)
    }
}

#[inline(always)]
pub(super) fn update<T: Real>(p: T, g: T, [learning_rate, ..]: [T; 3], hyper: [T; 4], state: &mut [T]) -> T {
    let [momentum, nesterov, weight_decay, _] = hyper;
    let g = g + weight_decay * p;
    let v = momentum * state[0] + g;
    state[0] = v;
    p - learning_rate * if nesterov != T::zero() { g + momentum * v } else { v }
}
