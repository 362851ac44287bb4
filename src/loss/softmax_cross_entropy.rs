use super::{Reduction, Row};
use crate::real::Real;

pub(super) const REDUCTION: Reduction = Reduction::Samples;

#[inline(always)]
pub(super) fn value<T: Real>(y: T, t: T, row: Row<T>) -> T {
    t * (row.log_sum_exp - y)
}

#[inline(always)]
pub(super) fn derivative<T: Real>(y: T, t: T, row: Row<T>) -> T {
    (y - row.log_sum_exp).exp() * row.target_sum - t
}
