//! Activations: the element-wise function behind each layer, `a = f(z)`.
//!
//! A member is one Rust file here, one WGSL file of the same name in `shaders/activation/`, and one line in the
//! registry below. Every test, check and command finds it from there.

use crate::error::did_you_mean;
use crate::graph::{Expr, Graph};
use crate::real::Real;
use crate::{Error, Result};

/// What an activation's derivative is computed from, and so what the forward pass keeps for the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The activation's output `a`, which the next layer needs anyway: nothing extra is kept.
    Output,
    /// The pre-activation `z`, kept in a buffer of its own.
    Preactivation,
}

macro_rules! activations {
    ($($(#[$doc:meta])* $variant:ident = $stem:ident),* $(,)?) => {
        $(mod $stem;)*

        /// The element-wise function behind a layer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Activation {
            $($(#[$doc])* $variant,)*
        }

        impl Activation {
            /// Every activation, in the order of the registry.
            pub const ALL: &'static [Activation] = &[$(Activation::$variant),*];

            /// The name in model files, on the command line and in `shaders/activation/`.
            pub fn name(self) -> &'static str {
                match self { $(Activation::$variant => stringify!($stem)),* }
            }

            /// What the derivative is computed from.
            pub fn stored(self) -> Stored {
                match self { $(Activation::$variant => $stem::STORED),* }
            }

            /// `f(z)`
            #[inline(always)]
            pub fn value<T: Real>(self, z: T) -> T {
                match self { $(Activation::$variant => $stem::value(z)),* }
            }

            /// `f′(z)`, given what [`Activation::stored`] names: `a = f(z)` or `z` itself.
            #[inline(always)]
            pub fn derivative<T: Real>(self, stored: T) -> T {
                match self { $(Activation::$variant => $stem::derivative(stored)),* }
            }

            /// The formula as an expression of `x`, in the language of [`Graph::parse`].
            pub fn expression(self) -> &'static str {
                match self { $(Activation::$variant => $stem::EXPRESSION),* }
            }

            /// The WGSL functions `activation` and `activation_derivative`.
            pub(crate) fn wgsl(self) -> &'static str {
                match self {
                    $(Activation::$variant =>
                        include_str!(concat!("../../shaders/activation/", stringify!($stem), ".wgsl"))),*
                }
            }
        }
    };
}

activations! {
    /// `f(z) = z`
    Linear = linear,
    /// `f(z) = 1 / (1 + exp(-z))`
    Sigmoid = sigmoid,
    /// `f(z) = tanh z`
    Tanh = tanh,
    /// `f(z) = max(z, 0)`; the derivative at 0 is 0
    Relu = relu,
    /// `f(z) = z` where `z > 0`, else `0.01 z`; the derivative at 0 is 0.01
    LeakyRelu = leaky_relu,
    /// `f(z) = log(1 + exp z)`
    Softplus = softplus,
    /// `f(z) = z / (1 + exp(-z))`, also known as swish
    Silu = silu,
    /// `f(z) = z Φ(z)` with the normal distribution function Φ (the exact form, not the one with tanh)
    Gelu = gelu,
    /// `f(z) = z` where `z > 0`, else `exp(z) - 1`
    Elu = elu,
    /// `f(z) = sin z`
    Sine = sine,
}

impl Activation {
    /// `f′(z)` from the pre-activation, whichever value the derivative is written in.
    pub fn derivative_at<T: Real>(self, z: T) -> T {
        match self.stored() {
            Stored::Output => self.derivative(self.value(z)),
            Stored::Preactivation => self.derivative(z),
        }
    }
}

impl Activation {
    /// The activation of a node of a graph.
    ///
    /// # Errors
    /// Those of [`Graph::parse`].
    pub fn on<'g>(self, x: Expr<'g>) -> Result<Expr<'g>> {
        let graph = Graph::new();
        let value = graph.parse(self.expression(), &["x"])?;
        let results = x.graph().call(&graph.function(&["x"], &[value])?, &[x])?;
        results.first().copied().ok_or_else(|| Error::shape("results of an activation", 1, 0))
    }

    /// Whether every derivative is continuous, so that losses may contain derivatives of the network's output.
    ///
    /// # Errors
    /// Those of [`Graph::parse`].
    pub fn is_smooth(self) -> Result<bool> {
        let graph = Graph::new();
        let value = graph.parse(self.expression(), &["x"])?;
        Ok(graph.function(&["x"], &[value])?.is_smooth())
    }
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|a| a.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|a| a.name()).collect();
            Error::Config(format!(
                "unknown activation {name:?}{}; known: {}",
                did_you_mean(name, known.iter().copied()),
                known.join(", ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula as text, differentiated, is what the hand-written functions compute.
    #[test]
    fn expressions_are_the_functions() -> Result<()> {
        for &activation in Activation::ALL {
            let graph = Graph::new();
            let x = graph.variable("x");
            let value = activation.on(x)?;
            let f = graph.function(&["x"], &[value, value.backward().of(x)])?;
            for x in (-60..=60).map(|i| f64::from(i) * 0.125) {
                let [found, expected] = [f.eval(&[x]), vec![activation.value(x), activation.derivative_at(x)]];
                let near = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-14 * (1.0 + b.abs()));
                assert!(near, "{activation} at {x}: {found:?}, expected {expected:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn smooth_activations_are_known() -> Result<()> {
        use Activation::{Elu, LeakyRelu, Relu};
        for &activation in Activation::ALL {
            assert_eq!(activation.is_smooth()?, ![Relu, LeakyRelu, Elu].contains(&activation), "{activation}");
        }
        Ok(())
    }
}
