use super::{mean_absolute_error, Reduction, Row};
use crate::real::Real;

pub(super) const REDUCTION: Reduction = Reduction::Elements;

const EPSILON: f64 = 0.01;

/// Halved before they are added: the sum of two finite numbers may overflow.
#[inline(always)]
fn denominator<T: Real>(y: T, t: T) -> T {
    T::of(0.5) * y.abs() + T::of(0.5) * t.abs() + T::of(EPSILON)
}

#[inline(always)]
pub(super) fn value<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    (y - t).abs() / denominator(y, t)
}

/// `sign(y - t) (½ |t| + ½ t sign(y) + ε) / denominator²`: the quotient rule, with the numerator's `½ |y|` cancelled by hand.
#[inline(always)]
pub(super) fn derivative<T: Real>(y: T, t: T, row: Row<T>) -> T {
    let sign = |y: T, t: T| mean_absolute_error::derivative(y, t, row);
    let half = T::of(0.5);
    let denominator = denominator(y, t);
    let numerator = half * t.abs() + half * t * sign(y, T::zero()) + T::of(EPSILON);
    sign(y, t) * numerator / (denominator * denominator)
}
