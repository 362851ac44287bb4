use crate::real::Real;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Stochastic gradient descent with momentum, in the form of Sutskever et al. 2013 that PyTorch uses: `v ← μ v + g`,
/// then `p ← p - lr v`, or `p ← p - lr (g + μ v)` with Nesterov's correction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Momentum {
    /// `μ`, in [0, 1).
    pub momentum: f32,
    /// Whether to look ahead by one step.
    #[serde(default)]
    pub nesterov: bool,
}

pub(super) const STATES: usize = 1;

impl Momentum {
    pub(super) fn hyper(&self) -> [f32; 4] {
        [self.momentum, f32::from(u8::from(self.nesterov)), 0.0, 0.0]
    }

    pub(super) fn validate(&self) -> Result<()> {
        if (0.0..1.0).contains(&self.momentum) {
            return Ok(());
        }
        Err(Error::Config(format!("the momentum must lie in [0, 1), found {}", self.momentum)))
    }
}

pub(super) fn update<T: Real>(p: T, g: T, learning_rate: T, hyper: [T; 4], state: &mut [T]) -> T {
    let [momentum, nesterov, ..] = hyper;
    let v = momentum * state[0] + g;
    state[0] = v;
    p - learning_rate * if nesterov != T::zero() { g + momentum * v } else { v }
}
