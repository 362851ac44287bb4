use super::{Reduction, Row};
use crate::activation::Activation;
use crate::real::Real;

pub(super) const REDUCTION: Reduction = Reduction::Elements;

/// `log cosh d = |d| + log(1 + exp(-2 |d|)) - log 2`, whose exponential cannot overflow.
#[inline(always)]
pub(super) fn value<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    let d = (y - t).abs();
    d + (Activation::Softplus.value(T::of(-2.0) * d) - T::of(std::f64::consts::LN_2))
}

#[inline(always)]
pub(super) fn derivative<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    Activation::Tanh.value(y - t)
}
