//! Activations: the element-wise function behind each layer, `a = f(z)`.
//!
//! A member is one Rust file here, one WGSL file of the same name in `shaders/activation/`, and one line in the
//! registry below. Every test, check and command finds it from there. [`Activation::custom`] takes any other function as
//! text.

mod custom;

pub use custom::Custom;

use crate::custom::is_expression;
use crate::error::did_you_mean;
use crate::graph::{Expr, Function, Graph};
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
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Activation {
            $($(#[$doc])* $variant,)*
            /// Any other function: [`Activation::custom`].
            Custom(Custom),
        }

        impl Activation {
            /// Every activation of the registry, in its order.
            pub const ALL: &'static [Activation] = &[$(Activation::$variant),*];

            /// The name in model files, on the command line and in `shaders/activation/`; what a custom one calls its
            /// result.
            pub fn name(self) -> &'static str {
                match self {
                    $(Activation::$variant => stringify!($stem),)*
                    Activation::Custom(custom) => custom.name(),
                }
            }

            /// What the derivative is computed from.
            pub fn stored(self) -> Stored {
                match self {
                    $(Activation::$variant => $stem::STORED,)*
                    Activation::Custom(_) => Stored::Preactivation,
                }
            }

            /// `f(z)`
            #[inline(always)]
            pub fn value<T: Real>(self, z: T) -> T {
                match self {
                    $(Activation::$variant => $stem::value(z),)*
                    Activation::Custom(custom) => custom.value(z),
                }
            }

            /// `f′(z)`, given what [`Activation::stored`] names: `a = f(z)` or `z` itself.
            #[inline(always)]
            pub fn derivative<T: Real>(self, stored: T) -> T {
                match self {
                    $(Activation::$variant => $stem::derivative(stored),)*
                    Activation::Custom(custom) => custom.derivative(stored),
                }
            }

            /// The formula as an expression of `x`, in the language of [`Graph::parse`].
            pub fn expression(self) -> &'static str {
                match self {
                    $(Activation::$variant => $stem::EXPRESSION,)*
                    Activation::Custom(custom) => custom.text(),
                }
            }

            /// The WGSL functions `activation` and `activation_derivative`.
            pub(crate) fn wgsl(self) -> &'static str {
                match self {
                    $(Activation::$variant =>
                        include_str!(concat!("../../shaders/activation/", stringify!($stem), ".wgsl")),)*
                    Activation::Custom(custom) => custom.wgsl(),
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
    /// The function that `text` says: an expression in `x`, as [`Graph::parse`](crate::graph::Graph::parse) reads it, and
    /// its derivative by reverse mode.
    ///
    /// ```
    /// use wgrad::{Activation, Network};
    /// let mish = Activation::custom("mish = x * tanh(softplus(x))")?;
    /// assert_eq!((mish.name(), mish.value(0.0)), ("mish", 0.0));
    /// let network = Network::new(2).dense(8, mish).dense(1, Activation::Linear);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// Equal texts are the same activation, kept for the life of the program as a string literal is. Training meets any
    /// argument: where the expression or its derivative is not finite, neither are the gradients.
    ///
    /// # Errors
    /// [`Error::Expression`] with the place of what cannot be read, where the expression does not use `x`, and where it or
    /// its derivative is not finite at 0, which the rows meet that fill up a batch.
    pub fn custom(text: &str) -> Result<Self> {
        Custom::new(text).map(Activation::Custom)
    }

    /// The expressions of a custom activation and of its derivative.
    pub(crate) fn expressions(self) -> Option<[&'static Function; 2]> {
        match self {
            Activation::Custom(custom) => Some(custom.expressions()),
            _ => None,
        }
    }

    /// The word that names the activation in WGSL that has several.
    pub(crate) fn hook(self) -> &'static str {
        match self {
            Activation::Custom(custom) => custom.hook(),
            registered => registered.name(),
        }
    }

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
        let results = x.graph().call(&self.function()?, &[x])?;
        results.first().copied().ok_or_else(|| Error::shape("results of an activation", 1, 0))
    }

    /// Whether every derivative is continuous, so that losses may contain derivatives of the network's output.
    ///
    /// # Errors
    /// Those of [`Graph::parse`].
    pub fn is_smooth(self) -> Result<bool> {
        Ok(self.function()?.is_smooth())
    }

    /// The function `f` of `x`.
    pub(crate) fn function(self) -> Result<Function> {
        if let Some([value, _]) = self.expressions() {
            return Ok(value.clone());
        }
        let graph = Graph::new();
        let value = graph.parse(self.expression(), &["x"])?;
        graph.function(&["x"], &[value])
    }
}

impl std::fmt::Display for Activation {
    /// The name, or the text of a custom one: what [`str::parse`] takes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Activation::Custom(custom) => f.pad(custom.text()),
            registered => f.pad(registered.name()),
        }
    }
}

impl std::str::FromStr for Activation {
    type Err = Error;

    /// The activation of this name, or that of this text.
    fn from_str(text: &str) -> Result<Self> {
        if let Some(&registered) = Self::ALL.iter().find(|activation| activation.name() == text) {
            return Ok(registered);
        }
        if is_expression(text) {
            return Activation::custom(text);
        }
        let known: Vec<_> = Self::ALL.iter().map(|a| a.name()).collect();
        Err(Error::Config(format!(
            "unknown activation {text:?}{}; known: {}, or an expression such as x * tanh(softplus(x))",
            did_you_mean(text, known.iter().copied()),
            known.join(", ")
        )))
    }
}

impl serde::Serialize for Activation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Activation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
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
