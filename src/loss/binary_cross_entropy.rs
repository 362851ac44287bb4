use super::{Reduction, Row};
use crate::activation::Activation;
use crate::real::Real;

pub(super) const REDUCTION: Reduction = Reduction::Elements;

#[inline(always)]
pub(super) fn value<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    Activation::Softplus.value(y) - y * t
}

#[inline(always)]
pub(super) fn derivative<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    Activation::Sigmoid.value(y) - t
}
