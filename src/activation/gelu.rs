use super::Stored;
use crate::real::Real;

pub(super) const STORED: Stored = Stored::Preactivation;
pub(super) const EXPRESSION: &str = "0.5 * x * (1 + erf(x / sqrt(2)))";

#[inline(always)]
fn normal_cdf<T: Real>(z: T) -> T {
    T::of(0.5) * (T::one() + (z * T::of(std::f64::consts::FRAC_1_SQRT_2)).erf())
}

#[inline(always)]
pub(super) fn value<T: Real>(z: T) -> T {
    z * normal_cdf(z)
}

#[inline(always)]
pub(super) fn derivative<T: Real>(z: T) -> T {
    let density = T::of(0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2);
    normal_cdf(z) + z * density * (T::of(-0.5) * z * z).exp()
}
