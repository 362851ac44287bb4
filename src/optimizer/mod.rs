//! Optimizers: how a gradient changes a parameter.
//!
//! A member is one Rust file here, one WGSL file of the same name in `shaders/optimizer/`, and one line in the registry
//! below.

use crate::error::did_you_mean;
use crate::real::Real;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

macro_rules! optimizers {
    ($($(#[$doc:meta])* $variant:ident = $stem:ident),* $(,)?) => {
        $(mod $stem; pub use $stem::$variant;)*

        /// An optimizer with its settings. The learning rate is not among them: it comes with each step.
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "lowercase")]
        #[non_exhaustive]
        pub enum Optimizer {
            $($(#[$doc])* $variant($variant),)*
        }

        /// The rule of an optimizer without its settings: what a kernel is compiled for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[non_exhaustive]
        pub enum Rule {
            $($(#[$doc])* $variant,)*
        }

        impl Optimizer {
            /// The rule, which says which kernel runs.
            pub fn rule(&self) -> Rule {
                match self { $(Optimizer::$variant(_) => Rule::$variant),* }
            }

            /// The settings as the kernel takes them.
            pub fn hyper(&self) -> [f32; 4] {
                match self { $(Optimizer::$variant(settings) => settings.hyper()),* }
            }

            /// Two factors that depend on the number of steps before this one, for the rules that have such.
            pub fn corrections(&self, step: u64) -> [f64; 2] {
                match self { $(Optimizer::$variant(settings) => settings.corrections(step)),* }
            }

            /// Checks that the settings are in range.
            pub fn validate(&self) -> Result<()> {
                match self { $(Optimizer::$variant(settings) => settings.validate()),* }
            }
        }

        impl Rule {
            /// Every rule, in the order of the registry.
            pub const ALL: &'static [Rule] = &[$(Rule::$variant),*];

            /// The name in configurations and in `shaders/optimizer/`.
            pub fn name(self) -> &'static str {
                match self { $(Rule::$variant => stringify!($stem)),* }
            }

            /// The optimizer of this rule with its usual settings.
            pub fn optimizer(self) -> Optimizer {
                match self { $(Rule::$variant => Optimizer::$variant($variant::default())),* }
            }

            /// What the numbers of state are called that each parameter has, in WGSL.
            pub fn state_names(self) -> &'static [&'static str] {
                match self { $(Rule::$variant => $stem::STATES),* }
            }

            /// How many numbers of state each parameter has.
            pub fn states(self) -> usize {
                self.state_names().len()
            }

            /// The new value of parameter `p` with gradient `g`; `rates` are the learning rate and the step's
            /// [corrections](Optimizer::corrections), `state` has [`Rule::states`] elements.
            #[inline(always)]
            pub fn update<T: Real>(self, p: T, g: T, rates: [T; 3], hyper: [T; 4], state: &mut [T]) -> T {
                match self { $(Rule::$variant => $stem::update(p, g, rates, hyper, state)),* }
            }

            /// The WGSL function `update` and the bindings of its state.
            pub(crate) fn wgsl(self) -> &'static str {
                match self { $(Rule::$variant => $stem::WGSL),* }
            }
        }
    };
}

optimizers! {
    /// `p ← p - lr g`
    Sgd = sgd,
    /// `v ← μ v + g`, then `p ← p - lr v`, or `p ← p - lr (g + μ v)` with Nesterov's correction
    Momentum = momentum,
    /// Adaptive moments
    Adam = adam,
    /// Adaptive moments with decoupled weight decay
    AdamW = adamw,
    /// The gradient over the root of a running mean of its squares
    RmsProp = rmsprop,
    /// The gradient over the root of the sum of its squares
    Adagrad = adagrad,
    /// The sign of a running mean
    Lion = lion,
}

impl Rule {
    /// Whether a step depends on how many there were before it.
    pub fn counts_steps(self) -> bool {
        matches!(self, Rule::Adam | Rule::AdamW)
    }
}

impl std::str::FromStr for Rule {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|rule| rule.name()).collect();
            let hint = did_you_mean(name, known.iter().copied());
            Error::Config(format!("unknown optimizer {name:?}{hint}; known: {}", known.join(", ")))
        })
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Optimizer::Sgd(Sgd::default())
    }
}

/// `1 / (1 - β₁ᵗ)` and `1 / √(1 - β₂ᵗ)` for step t, with `step` steps before it.
fn bias_corrections(betas: [f32; 2], step: u64) -> [f64; 2] {
    let t = step as f64 + 1.0;
    let [first, second] = betas.map(|beta| -(t * f64::from(beta).ln()).exp_m1());
    [1.0 / first, 1.0 / second.sqrt()]
}

fn check_share(what: &str, share: f32) -> Result<()> {
    match (0.0..1.0).contains(&share) {
        true => Ok(()),
        false => Err(Error::Config(format!("{what} must lie in [0, 1), found {share}"))),
    }
}

fn check_decay(decay: f32) -> Result<()> {
    match decay.is_finite() && decay >= 0.0 {
        true => Ok(()),
        false => Err(Error::Config(format!("the weight decay must be finite and at least 0, found {decay}"))),
    }
}

fn check_epsilon(epsilon: f32) -> Result<()> {
    match epsilon.is_finite() && epsilon > 0.0 {
        true => Ok(()),
        false => Err(Error::Config(format!("epsilon must be finite and more than 0, found {epsilon}"))),
    }
}
