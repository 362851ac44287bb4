//! The numbers that the textbook equations compute with: plain `f64`, or [`Bounded`], which carries a rounding bound.

use crate::activation::{Activation, Stored};
use crate::compare::{FLUSH, FUNCTION_ROUNDOFF, UNIT_ROUNDOFF, function_error, gamma, product_error, sum_error};
use crate::graph::Function;
use crate::loss::{Loss, Row};
use crate::network::Normalization;
use std::ops::Mul;

/// A number that a network can be computed in: everything else in dense backpropagation is made of these operations.
pub trait Number: Copy + Mul<Output = Self> {
    /// An input or a parameter, which f32 arithmetic is given as it is.
    fn given(x: f64) -> Self;
    /// A factor such as `1 / rows`, which f32 arithmetic computes.
    fn factor(x: f64) -> Self;
    /// `Σ term`
    fn sum(terms: impl Iterator<Item = Self>) -> Self;
    /// `f(x)`, for a function of the activation or loss registry.
    fn function<const K: usize>(f: impl Fn([f64; K]) -> f64, x: [Self; K]) -> Self;
    /// `f(x)`, for an expression: operation by operation.
    fn expression(f: &Function, x: &[Self]) -> Self;
    /// `log Σ_j exp(y_j)`
    fn log_sum_exp(y: &[Self]) -> Self;

    /// This number as a matrix holds it between two kernels, or as a product takes it.
    fn stored(self) -> Self {
        self
    }

    /// `f(z)`
    fn activation(f: Activation, z: Self) -> Self {
        match f.expressions() {
            Some([value, _]) => Self::expression(value, &[z]),
            None => Self::function(|[z]| f.value(z), [z]),
        }
    }

    /// `f′` from the number that [`Activation::stored`] names.
    fn derivative(f: Activation, stored: Self) -> Self {
        match f.expressions() {
            Some([_, derivative]) => Self::expression(derivative, &[stored]),
            None => Self::function(|[stored]| f.derivative(stored), [stored]),
        }
    }

    /// `f′(z)`, from what the forward pass stores.
    fn slope(f: Activation, z: Self) -> Self {
        match f.stored() {
            Stored::Output => Self::function(|[z]| f.derivative_at(z), [z]),
            Stored::Preactivation => Self::derivative(f, z),
        }
    }

    /// The part of one output in the loss and its derivative, before reduction; `row` is `log Σ exp(y)` and `Σ t`.
    fn loss(loss: Loss, y: Self, t: Self, row: [Self; 2]) -> [Self; 2] {
        if let Some(expressions) = loss.expressions() {
            return expressions.map(|f| Self::expression(f, &[y, t]));
        }
        let arguments = [y, t, row[0], row[1]];
        let row = |log_sum_exp, target_sum| Row { log_sum_exp, target_sum };
        [
            Self::function(|[y, t, l, s]| loss.value(y, t, row(l, s)), arguments),
            Self::function(|[y, t, l, s]| loss.derivative(y, t, row(l, s)), arguments),
        ]
    }
}

/// `-x`, which is exact.
pub(crate) fn minus<N: Number>(x: N) -> N {
    N::given(-1.0) * x
}

/// `1 / √(variance + ε)` of a normalisation.
pub(crate) fn reach<N: Number>(variance: N) -> N {
    N::function(|[v]| 1.0 / (v.max(0.0) + f64::from(Normalization::EPSILON)).sqrt(), [variance])
}

impl Number for f64 {
    fn given(x: f64) -> Self {
        x
    }

    fn factor(x: f64) -> Self {
        x
    }

    fn sum(terms: impl Iterator<Item = Self>) -> Self {
        terms.sum()
    }

    fn function<const K: usize>(f: impl Fn([f64; K]) -> f64, x: [Self; K]) -> Self {
        f(x)
    }

    fn expression(f: &Function, x: &[Self]) -> Self {
        f.compute(|i| x[i])[0]
    }

    fn log_sum_exp(y: &[Self]) -> Self {
        let max = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        max + y.iter().map(|y| (y - max).exp()).sum::<f64>().ln()
    }
}

/// A number together with a bound on how far f32 arithmetic may be from it: Wilkinson's running error analysis
/// (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., section 3.3).
///
/// With `u` = 2⁻²⁴, `γ_n = n u / (1 − n u)` and `ε` = [`FUNCTION_ROUNDOFF`], each operation adds what it rounds itself
/// to what its arguments bring along, whatever the order of summation and whether or not products are fused:
///
/// | operation | bound |
/// |---|---|
/// | `x y` | `\|x\| err y + \|y\| err x + err x err y + u \|x y\|` |
/// | `Σ x` of n terms | `Σ err x + γ_n Σ (\|x\| + err x)` |
/// | `f(x)` | `Σ_k max \|f(x_k ± (err x_k + ε \|x_k\|)) − f(x)\| + ε (1 + \|f(x)\|)` |
/// | an expression | the bound of each of its operations, on numbers with the bounds of those before |
/// | `log Σ exp y` with softmax p | `Σ p_j (err y_j + ε \|y_j − log Σ exp y\|) + γ_n + ε (1 + \|log Σ exp y\|)` |
///
/// and 2⁻¹²⁶ for each rounding, for devices that flush subnormal numbers to zero. A dot product of length n plus a bias
/// therefore has the textbook's `γ_{n+2} (Σ|a||b| + |bias|)`. `f′` is moved along with `z`, also where it is computed
/// from a stored `f(z)`: whichever side of a kink the argument ends up on is covered. The bounds hold to first order,
/// for sums of less than 2²⁴ terms, and where nothing overflows f32.
///
/// They are worst cases: the deeper and wider a network, the further they exceed what rounding usually does, which
/// grows as √n rather than n. A check for faults belongs on networks up to a hundred or so wide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded {
    /// The number in f64.
    pub value: f64,
    /// The largest `|f32 result − value|`, ≥ 0.
    pub error: f64,
}

impl Mul for Bounded {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let value = self.value * other.value;
        let arriving = self.value.abs() * other.error + other.value.abs() * self.error + self.error * other.error;
        Bounded { value, error: arriving + product_error(value) }
    }
}

impl Number for Bounded {
    fn given(x: f64) -> Self {
        Bounded { value: x, error: if x.abs() < FLUSH { x.abs() } else { 0.0 } }
    }

    fn factor(x: f64) -> Self {
        // A shader divides with up to 2½ units in the last place, each at most 2u of the result.
        Bounded { value: x, error: 5.0 * UNIT_ROUNDOFF * x.abs() }
    }

    fn sum(terms: impl Iterator<Item = Self>) -> Self {
        let (mut n, mut value, mut error, mut magnitude) = (0, 0.0, 0.0, 0.0);
        for term in terms {
            n += 1;
            value += term.value;
            error += term.error;
            magnitude += term.value.abs() + term.error;
        }
        Bounded { value, error: error + sum_error(n, magnitude) }
    }

    fn function<const K: usize>(f: impl Fn([f64; K]) -> f64, x: [Self; K]) -> Self {
        let values = x.map(|x| x.value);
        Bounded { value: f(values), error: function_error(&f, values, x.map(|x| x.error)) }
    }

    fn expression(f: &Function, x: &[Self]) -> Self {
        f.compute(|i| x[i])[0]
    }

    fn log_sum_exp(y: &[Self]) -> Self {
        let value = f64::log_sum_exp(&y.iter().map(|y| y.value).collect::<Vec<_>>());
        let arriving: f64 = y
            .iter()
            .map(|y| {
                let log_softmax = y.value - value;
                log_softmax.exp() * (y.error + FUNCTION_ROUNDOFF * log_softmax.abs())
            })
            .sum();
        Bounded { value, error: arriving + gamma(y.len()) + FUNCTION_ROUNDOFF * (1.0 + value.abs()) }
    }
}
