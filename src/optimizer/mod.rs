//! Optimizers: how a gradient changes a parameter.
//!
//! A member is one Rust file here, one WGSL file of the same name in `shaders/optimizer/`, and one line in the registry
//! below.

use crate::Result;
use crate::real::Real;
use serde::{Deserialize, Serialize};

macro_rules! optimizers {
    ($($(#[$doc:meta])* $variant:ident = $stem:ident),* $(,)?) => {
        $(mod $stem; pub use $stem::$variant;)*

        /// An optimizer with its settings. The learning rate is not among them: it comes with each step.
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Optimizer {
            $($(#[$doc])* $variant($variant),)*
        }

        /// The rule of an optimizer without its settings: what a kernel is compiled for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

            /// How many numbers of state each parameter has.
            pub fn states(self) -> usize {
                match self { $(Rule::$variant => $stem::STATES),* }
            }

            /// The new value of parameter `p` with gradient `g`; `state` has [`Rule::states`] elements.
            #[inline(always)]
            pub fn update<T: Real>(self, p: T, g: T, learning_rate: T, hyper: [T; 4], state: &mut [T]) -> T {
                match self { $(Rule::$variant => $stem::update(p, g, learning_rate, hyper, state)),* }
            }

            /// The WGSL function `update` and the bindings of its state.
            pub(crate) fn wgsl(self) -> &'static str {
                match self {
                    $(Rule::$variant =>
                        include_str!(concat!("../../shaders/optimizer/", stringify!($stem), ".wgsl"))),*
                }
            }
        }
    };
}

optimizers! {
    /// `p ← p - lr g`
    Sgd = sgd,
    /// `v ← μ v + g`, then `p ← p - lr v`, or `p ← p - lr (g + μ v)` with Nesterov's correction
    Momentum = momentum,
}

impl Default for Optimizer {
    fn default() -> Self {
        Optimizer::Sgd(Sgd {})
    }
}
