//! The numbers that bound mixed precision.

use super::number::{Bounded, Number};
use crate::activation::{Activation, Stored};
use crate::compare::half_error;
use crate::graph::Function;
use std::ops::Mul;

/// A number together with a bound on how far arithmetic in mixed precision may be from it: that of [`Bounded`], and
/// [`half_error`] wherever a matrix is stored in f16.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct HalfBounded(pub(super) Bounded);

impl Mul for HalfBounded {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        HalfBounded(self.0 * other.0)
    }
}

impl Number for HalfBounded {
    fn given(x: f64) -> Self {
        HalfBounded(Bounded::given(x))
    }

    fn factor(x: f64) -> Self {
        HalfBounded(Bounded::factor(x))
    }

    fn sum(terms: impl Iterator<Item = Self>) -> Self {
        HalfBounded(Bounded::sum(terms.map(|x| x.0)))
    }

    fn function<const K: usize>(f: impl Fn([f64; K]) -> f64, x: [Self; K]) -> Self {
        HalfBounded(Bounded::function(f, x.map(|x| x.0)))
    }

    fn expression(f: &Function, x: &[Self]) -> Self {
        HalfBounded(f.compute(|i| x[i].0)[0])
    }

    fn log_sum_exp(y: &[Self]) -> Self {
        HalfBounded(Bounded::log_sum_exp(&y.iter().map(|y| y.0).collect::<Vec<_>>()))
    }

    fn stored(self) -> Self {
        let Bounded { value, error } = self.0;
        HalfBounded(Bounded { value, error: half_error(value, error) })
    }

    /// From a stored `f(z)` the slope is off by what rounding `f(z)` alone does to it, too.
    fn slope(f: Activation, z: Self) -> Self {
        match f.stored() {
            Stored::Preactivation => Self::derivative(f, z.stored()),
            Stored::Output => {
                let mut slope = Self::function(|[z]| f.derivative_at(z), [z]);
                let a = f.value(z.0.value);
                let rounding = half_error(a, 0.0);
                let moved = |by: f64| (f.derivative(a + by) - f.derivative(a)).abs();
                slope.0.error += moved(rounding).max(moved(-rounding));
                slope
            }
        }
    }
}
