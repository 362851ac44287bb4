use super::{Reduction, Row};
use crate::real::Real;

pub(super) const REDUCTION: Reduction = Reduction::Elements;

#[inline(always)]
pub(super) fn value<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    (y - t) * (y - t)
}

#[inline(always)]
pub(super) fn derivative<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    T::of(2.0) * (y - t)
}
