use super::{Row, softmax_cross_entropy};
use crate::real::Real;

// The entropy of the targets does not depend on the outputs.
pub(super) use super::softmax_cross_entropy::{REDUCTION, derivative};

#[inline(always)]
pub(super) fn value<T: Real>(y: T, t: T, row: Row<T>) -> T {
    // A device may take a subnormal target for 0, whose logarithm times 0 is NaN; its part is lost in any sum.
    let positive = if t > T::of(f64::from(f32::MIN_POSITIVE)) { t } else { T::one() };
    softmax_cross_entropy::value(y, t, row) + t * positive.ln()
}
