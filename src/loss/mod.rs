//! Losses: what the output `y` of a network is compared with the target `t` by.
//!
//! A member is one Rust file here, one WGSL file of the same name in `shaders/loss/`, and one line in the registry
//! below. Every test, check and command finds it from there. [`Loss::custom`] takes any other function of an output and its
//! target as text.

mod custom;

pub use custom::Custom;

use crate::activation::Activation;
use crate::custom::is_expression;
use crate::error::did_you_mean;
use crate::graph::Function;
use crate::real::Real;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What the sum of a loss over outputs and samples is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Summed over the outputs, averaged over the samples of the batch.
    Samples,
    /// Averaged over every element of `[batch, outputs]`.
    #[default]
    Elements,
    /// Summed over everything.
    Sum,
}

impl Reduction {
    /// The factor on the sum over `rows` samples with `cols` outputs.
    pub fn scale(self, rows: usize, cols: usize) -> f64 {
        match self {
            Reduction::Samples => 1.0 / rows as f64,
            Reduction::Elements => 1.0 / (rows as f64 * cols as f64),
            Reduction::Sum => 1.0,
        }
    }
}

/// What an element of a loss needs to know of its row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row<T> {
    /// `log Σ_j exp(y_j)`
    pub log_sum_exp: T,
    /// `Σ_j t_j`
    pub target_sum: T,
}

mod equation;
mod serial;

pub use equation::{Equation, EquationText};

macro_rules! losses {
    ($($(#[$doc:meta])* $variant:ident = $stem:ident),* $(,)?) => {
        $(mod $stem;)*

        /// What the output of a network is compared with the target by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Loss {
            $($(#[$doc])* $variant,)*
            /// Any other function of an output and its target: [`Loss::custom`].
            Custom(Custom),
            /// An expression of inputs, outputs and derivatives of these by those, averaged over the batch.
            Equation(Equation),
        }

        impl Loss {
            /// Every loss of the registry, in its order.
            pub const ALL: &'static [Loss] = &[$(Loss::$variant),*];

            /// The name in model files, on the command line and in `shaders/loss/`; what a custom one calls its result.
            pub fn name(self) -> &'static str {
                match self {
                    $(Loss::$variant => stringify!($stem),)*
                    Loss::Custom(custom) => custom.name(),
                    Loss::Equation(_) => "equation",
                }
            }

            /// What the sum is divided by.
            pub fn reduction(self) -> Reduction {
                match self {
                    $(Loss::$variant => $stem::REDUCTION,)*
                    Loss::Custom(custom) => custom.reduction(),
                    Loss::Equation(_) => Reduction::Samples,
                }
            }

            /// The part that one output has in the loss, before reduction; NaN for an equation, which is more than a
            /// function of these.
            #[inline(always)]
            pub fn value<T: Real>(self, y: T, t: T, row: Row<T>) -> T {
                match self {
                    $(Loss::$variant => $stem::value(y, t, row),)*
                    Loss::Custom(custom) => custom.value(y, t),
                    Loss::Equation(_) => T::zero() / T::zero(),
                }
            }

            /// The derivative of the row's loss with respect to this output `y`, before reduction; NaN for an equation.
            #[inline(always)]
            pub fn derivative<T: Real>(self, y: T, t: T, row: Row<T>) -> T {
                match self {
                    $(Loss::$variant => $stem::derivative(y, t, row),)*
                    Loss::Custom(custom) => custom.derivative(y, t),
                    Loss::Equation(_) => T::zero() / T::zero(),
                }
            }

            /// The WGSL functions `loss_value` and `loss_derivative`.
            pub(crate) fn wgsl(self) -> &'static str {
                match self {
                    $(Loss::$variant => include_str!(concat!("../../shaders/loss/", stringify!($stem), ".wgsl")),)*
                    Loss::Custom(custom) => custom.wgsl(),
                    // Its text is generated with its kernel.
                    Loss::Equation(_) => "",
                }
            }
        }
    };
}

losses! {
    /// `½ Σ (y - t)²`, summed over the outputs, averaged over the batch
    HalfSumOfSquares = half_sum_of_squares,
    /// `(y - t)²`, averaged over everything
    MeanSquaredError = mean_squared_error,
    /// `|y - t|`, averaged over everything; the derivative at 0 is 0
    MeanAbsoluteError = mean_absolute_error,
    /// `½ (y - t)²` where `|y - t| ≤ 1`, else `|y - t| - ½`; averaged over everything
    Huber = huber,
    /// `-t log σ(y) - (1 - t) log(1 - σ(y))` on logits `y`, averaged over everything
    BinaryCrossEntropy = binary_cross_entropy,
    /// `-Σ t log softmax(y)` on logits `y`, averaged over the batch; the targets are class probabilities
    SoftmaxCrossEntropy = softmax_cross_entropy,
    /// `-Σ [t log y + (1 - t) log(1 - y)]` over the K outputs of a sigmoid layer, averaged over the batch
    LogisticCrossEntropy = logistic_cross_entropy,
    /// `(y - t)² / (y² + 0.01)`, averaged over everything: Lehtinen et al., *Noise2Noise* (2018), as in tiny-cuda-nn. Its
    /// derivative is that of the whole quotient; those authors hold the denominator constant
    RelativeL2 = relative_l2,
    /// `|y - t| / (|t| + 0.01)`, averaged over everything: the mean absolute percentage error as a fraction, as in
    /// tiny-cuda-nn; the derivative at `y = t` is 0
    Mape = mape,
    /// `|y - t| / (½ (|y| + |t|) + 0.01)`, averaged over everything: the symmetric mean absolute percentage error as a
    /// fraction, 0 to 2, as in tiny-cuda-nn, but for the derivative, which is that of the whole quotient. That of an absolute
    /// value at 0 is 0
    Smape = smape,
    /// `log cosh(y - t)`, averaged over everything: half the square near 0, the absolute value less `log 2` far away
    LogCosh = log_cosh,
    /// `max(0, 1 - s y)`, averaged over everything, with `s = 1` for targets above ½, else `s = -1`: classes may be 0 and 1 or
    /// -1 and 1. The derivative at the kink is 0 (Cortes and Vapnik, *Support-vector networks*, 1995)
    Hinge = hinge,
    /// `exp(y) - t y`, averaged over everything: the negative log-likelihood of counts `t` under the rate `exp(y)`, less `log t!`,
    /// which does not depend on `y`; PyTorch's `poisson_nll_loss`. The rate stays at `exp(88)` beyond `y = 88`
    Poisson = poisson,
    /// `Σ t (log t - log softmax(y))` on logits `y`, averaged over the batch; the targets are class probabilities, and
    /// `t log t` is 0 where `t ≤ 0`. PyTorch's `kl_div` with `batchmean`
    KlDivergence = kl_divergence,
}

impl Loss {
    /// A loss that contains derivatives of the network's outputs by its inputs; see [`Equation`].
    ///
    /// # Errors
    /// Those of [`Equation::new`].
    pub fn equation(equation: &str, inputs: &[&str], outputs: &[&str], data: &[&str]) -> Result<Self> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let (equation, inputs) = (equation.to_owned(), owned(inputs));
        let text = EquationText { equation, inputs, outputs: owned(outputs), data: owned(data) };
        Ok(Loss::Equation(Equation::new(text)?))
    }

    /// How many numbers the target of a sample has for a network with `outputs` outputs.
    pub fn target_width(self, outputs: usize) -> usize {
        match self {
            Loss::Equation(equation) => equation.text().data.len(),
            _ => outputs,
        }
    }

    /// The loss that `text` says of one output `y` and its target `t`, an expression as
    /// [`Graph::parse`](crate::graph::Graph::parse) reads it, averaged over everything; its derivative with respect to `y` by
    /// reverse mode. `parameters` are further names in the text with their numbers.
    ///
    /// ```
    /// use wgrad::{Loss, loss::Row};
    /// let text = "huber = select(abs(y-t) < d, 0.5*(y-t)^2, d*(abs(y-t)-0.5*d))";
    /// let huber = Loss::custom(text, &[("d", 1.0)])?;
    /// assert_eq!(huber.value(3.0, 0.0, Row::default()), 2.5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// The same text, parameters and reduction are the same loss, kept for the life of the program as a string literal is.
    ///
    /// # Errors
    /// [`Error::Expression`] with the place of what cannot be read, and where the expression does not use `y` or one of the
    /// parameters; [`Error::Config`] where a parameter is not finite or has the name of something else.
    pub fn custom(text: &str, parameters: &[(&str, f64)]) -> Result<Self> {
        Loss::custom_over(Reduction::Elements, text, parameters)
    }

    /// [`Loss::custom`], with `reduction` for its sum.
    pub fn custom_over(reduction: Reduction, text: &str, parameters: &[(&str, f64)]) -> Result<Self> {
        Custom::new(reduction, text, parameters).map(Loss::Custom)
    }

    /// The expressions of a custom loss and of its derivative, in `y` and `t`.
    pub(crate) fn expressions(self) -> Option<[&'static Function; 2]> {
        match self {
            Loss::Custom(custom) => Some(custom.expressions()),
            _ => None,
        }
    }

    /// Whether an element needs [`Row::log_sum_exp`]; the other losses skip that reduction.
    pub(crate) fn uses_softmax(self) -> bool {
        matches!(self, Loss::SoftmaxCrossEntropy | Loss::KlDivergence)
    }

    /// The activation that training computes the output layer with.
    ///
    /// [`Loss::LogisticCrossEntropy`] is defined on sigmoid outputs but computed from their logits, where
    /// `δ = σ(z) - t` is exact and no logarithm of a rounded 0 or 1 arises: the sigmoid is part of the loss.
    pub fn training_activation(self, output: Activation) -> Activation {
        if self == Loss::LogisticCrossEntropy { Activation::Linear } else { output }
    }

    /// Checks that the loss is defined for a network whose output layer has `activation`.
    pub fn check_output(self, activation: Activation) -> Result<()> {
        if self == Loss::LogisticCrossEntropy && activation != Activation::Sigmoid {
            return Err(Error::Config(format!(
                "the loss logistic_cross_entropy needs the output activation sigmoid, found {activation}; for a \
                 linear output use binary_cross_entropy or softmax_cross_entropy, which work on logits"
            )));
        }
        Ok(())
    }
}

impl std::fmt::Display for Loss {
    /// The name, or all that a custom one was given: `d * abs(y - t), d = 2`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Loss::Custom(custom) => f.pad(&custom.to_string()),
            Loss::Equation(equation) => equation.fmt(f),
            registered => f.pad(registered.name()),
        }
    }
}

impl std::str::FromStr for Loss {
    type Err = Error;

    /// The loss of this name, or that of this text, averaged over everything; parameters are definitions in the text.
    fn from_str(text: &str) -> Result<Self> {
        if let Some(&registered) = Self::ALL.iter().find(|loss| loss.name() == text) {
            return Ok(registered);
        }
        if is_expression(text) {
            return Loss::custom(text, &[]);
        }
        let known: Vec<_> = Self::ALL.iter().map(|l| l.name()).collect();
        Err(Error::Config(format!(
            "unknown loss {text:?}{}; known: {}, or an expression such as (y - t)^2",
            did_you_mean(text, known.iter().copied()),
            known.join(", ")
        )))
    }
}
