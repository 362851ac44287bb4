use super::{Reduction, Row};
use crate::real::Real;

pub(super) const REDUCTION: Reduction = Reduction::Elements;

const EPSILON: f64 = 0.01;

/// Beyond this `ε` is lost against `y²`, whose square soon overflows f32: fractions of `y` take over.
const LARGE: f64 = (1u64 << 30) as f64;

#[inline(always)]
pub(super) fn value<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    if y.abs() > T::of(LARGE) {
        let d = T::one() - t / y;
        return d * d;
    }
    (y - t) * (y - t) / (y * y + T::of(EPSILON))
}

/// `2 (y - t) (ε + y t) / (y² + ε)²`: the quotient rule, with the numerator's `y²` cancelled by hand.
#[inline(always)]
pub(super) fn derivative<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    let two = T::of(2.0);
    if y.abs() > T::of(LARGE) {
        let fraction = t / y;
        return two * (T::one() - fraction) * fraction / y;
    }
    let denominator = y * y + T::of(EPSILON);
    two * (y - t) * (T::of(EPSILON) + y * t) / (denominator * denominator)
}
