use super::{mean_absolute_error, Reduction, Row};
use crate::real::Real;

pub(super) const REDUCTION: Reduction = Reduction::Elements;

const EPSILON: f64 = 0.01;

#[inline(always)]
pub(super) fn value<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    (y - t).abs() / (t.abs() + T::of(EPSILON))
}

#[inline(always)]
pub(super) fn derivative<T: Real>(y: T, t: T, row: Row<T>) -> T {
    mean_absolute_error::derivative(y, t, row) / (t.abs() + T::of(EPSILON))
}
