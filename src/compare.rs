//! The only comparator, and what its bounds are made of. Bounds are derived from the arithmetic, never tuned.
//!
//! The model is that of Higham, *Accuracy and Stability of Numerical Algorithms* (2nd ed., chapters 2 and 3), with the
//! accuracy that the WebGPU Shading Language demands of functions (section 15.7.4). Its "correctly rounded" leaves the
//! direction open; [`UNIT_ROUNDOFF`] takes rounding to nearest, as devices do.

use crate::precision::{HALF_MAX, HALF_ROUNDOFF, HALF_UNDERFLOW};
use std::fmt::{self, Display, Formatter};

/// `u`: the relative error of one rounded f32 operation, 2⁻²⁴.
pub const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;

/// The most that is lost where a subnormal result is flushed to zero, as a GPU may: 2⁻¹²⁶.
pub const FLUSH: f64 = f32::MIN_POSITIVE as f64;

/// `ε`: the accuracy of an f32 function of the registry, 2⁻²⁰: 8 units in the last place of 1 (ulp, 2⁻²³).
///
/// WGSL lets `exp(x)` err by 3 + 2|x| ulp of the result, of which `2|x|` is an argument moved by 2 ulp of itself;
/// `log(1 + e)` by 4 ulp of 1; a division by 2½ ulp of the result; a rounding by ½. No activation, loss or derivative
/// of one takes more than one exponential, one logarithm or error function, one division and a few roundings in a row,
/// on numbers no larger than its arguments, its result or 1. The largest total is about 6 ulp: softplus′ takes the
/// logarithm's 4 through another exponential; tanh′ follows with twice a division's 2½.
pub const FUNCTION_ROUNDOFF: f64 = 8.0 * f32::EPSILON as f64;

/// `γ_n = n u / (1 − n u)`: the relative error of `n` roundings in a row; infinite where they leave no digit.
///
/// A sum of `n` terms in any order errs by at most `γ_n Σ |term|`, also where its products are fused.
pub fn gamma(n: usize) -> f64 {
    let nu = n as f64 * UNIT_ROUNDOFF;
    if nu < 1.0 { nu / (1.0 - nu) } else { f64::INFINITY }
}

/// How far an f32 product of result `x` may be from it: one rounding, or a flush. A product with 0 is exact.
pub fn product_error(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { UNIT_ROUNDOFF * x.abs() + FLUSH }
}

/// How far an f32 sum of `n` terms, in any order, may be from theirs: `γ_n Σ |term|`, or flushes. A sum of zeros is
/// exact.
pub fn sum_error(n: usize, magnitude: f64) -> f64 {
    if magnitude == 0.0 { 0.0 } else { gamma(n) * magnitude + n as f64 * FLUSH }
}

/// How far the f16 nearest to an f32 number may be from `x`, from which that number may be `error`; infinite where it may
/// lie beyond the largest f16. A 0 that is exact stays exact.
pub fn half_error(x: f64, error: f64) -> f64 {
    let magnitude = x.abs() + error;
    match magnitude {
        0.0 => 0.0,
        _ if magnitude > HALF_MAX => f64::INFINITY,
        _ => error + HALF_ROUNDOFF * magnitude + HALF_UNDERFLOW,
    }
}

/// How far an f32 evaluation of `f` may be from `f(x)` where each argument `x_k` is known to within `errors_k`.
///
/// What is computed is `f` at arguments moved by their errors and by [`FUNCTION_ROUNDOFF`] of themselves, then rounded
/// to within [`FUNCTION_ROUNDOFF`] of `1 + |f|`. Moving instead of multiplying by a slope keeps the bound true where
/// `f` has a kink or jumps: an argument that may lie on either side of it gets the whole difference.
pub fn function_error<const K: usize>(f: impl Fn([f64; K]) -> f64, x: [f64; K], errors: [f64; K]) -> f64 {
    let y = f(x);
    let deviation = |k: usize, shift: f64| {
        let mut moved = x;
        moved[k] += shift;
        (f(moved) - y).abs()
    };
    let arguments = (0..K).map(|k| {
        let reach = errors[k] + FUNCTION_ROUNDOFF * x[k].abs();
        deviation(k, reach).max(deviation(k, -reach))
    });
    arguments.sum::<f64>() + FUNCTION_ROUNDOFF * (1.0 + y.abs())
}

/// The element of a [`compare`] that came nearest to its bound, or went furthest beyond it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// `|actual − expected| / bound`: at most 1 where the comparison passed, infinite where a number is not finite.
    pub worst: f64,
    /// Which element.
    pub index: usize,
    /// What was computed.
    pub actual: f64,
    /// What the reference says.
    pub expected: f64,
    /// How far they may differ.
    pub bound: f64,
}

impl Comparison {
    fn of(index: usize, actual: f64, expected: f64, bound: f64) -> Self {
        let difference = (actual - expected).abs();
        let comparable = actual.is_finite() && expected.is_finite() && bound.is_finite() && bound >= 0.0;
        let worst = if !comparable {
            f64::INFINITY
        } else if difference == 0.0 {
            0.0
        } else {
            difference / bound
        };
        Comparison { worst, index, actual, expected, bound }
    }

    fn passed(&self) -> bool {
        self.worst <= 1.0
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Comparison { worst, index, actual, expected, bound } = self;
        let difference = (actual - expected).abs();
        write!(
            f,
            "element {index} is {actual:e}, expected {expected:e}; they differ by {difference:e}, the bound is \
             {bound:e} (ratio {worst:.3})"
        )
    }
}

/// Compares `actual` with `expected`, element by element: each may differ by its bound and no more.
///
/// NaN or infinity anywhere fails, as do lengths that differ and arrays that are empty; a bound of 0 demands equality.
/// A failure says which of `what` is wrong, and by how much.
pub fn compare<A: Copy + Into<f64>>(
    what: &str,
    actual: &[A],
    expected: &[f64],
    bounds: &[f64],
) -> Result<Comparison, String> {
    if actual.len() != expected.len() || bounds.len() != expected.len() {
        let lengths = (actual.len(), expected.len(), bounds.len());
        return Err(format!("{what}: found {} elements, expected {}, with {} bounds", lengths.0, lengths.1, lengths.2));
    }
    let triples = actual.iter().zip(expected).zip(bounds).enumerate();
    let elements = triples.map(|(i, ((&actual, &expected), &bound))| Comparison::of(i, actual.into(), expected, bound));
    match elements.clone().reduce(|worst, e| if e.worst > worst.worst { e } else { worst }) {
        None => Err(format!("{what}: nothing to compare, the arrays are empty")),
        Some(worst) if worst.passed() => Ok(worst),
        Some(worst) => {
            let failed = elements.filter(|e| !e.passed()).count();
            Err(format!("{what}: {worst}; {failed} of {} elements fail", actual.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Stored;
    use crate::loss::Row;
    use crate::{Activation, Loss};

    fn failure(actual: &[f32], expected: &[f64], bounds: &[f64]) -> String {
        compare("planted", actual, expected, bounds).expect_err("a planted fault must fail")
    }

    #[test]
    fn the_worst_element_is_named() -> Result<(), String> {
        let comparison = compare("x", &[1.0, 2.5, -3.0], &[1.0, 2.0, -3.25], &[0.0, 1.0, 1.0])?;
        assert_eq!(comparison, Comparison { worst: 0.5, index: 1, actual: 2.5, expected: 2.0, bound: 1.0 });
        let text = failure(&[1.0, 2.5, -3.0], &[1.0, 2.0, -3.25], &[0.0, 0.25, 0.125]);
        assert_eq!(
            text,
            "planted: element 1 is 2.5e0, expected 2e0; they differ by 5e-1, the bound is 2.5e-1 (ratio 2.000); \
             2 of 3 elements fail"
        );
        Ok(())
    }

    #[test]
    fn every_planted_fault_fails() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(failure(&[1.0, bad, 9.0], &[1.0, 2.0, 3.0], &[1.0; 3]).contains("element 1"));
            let (bad, wide) = (f64::from(bad), [f64::MAX; 2]);
            assert!(failure(&[1.0, 2.0], &[1.0, bad], &wide).contains("element 1"));
            assert!(failure(&[1.0, 2.0], &[1.0, 2.0], &[1.0, bad]).contains("element 1"));
        }
        assert!(failure(&[f32::INFINITY], &[f64::INFINITY], &[1.0]).contains("element 0"));
        assert!(failure(&[1.0], &[1.0], &[-1.0]).contains("element 0"));
        assert!(failure(&[1.0], &[1.0, 2.0], &[1.0, 1.0]).contains("found 1 elements, expected 2"));
        assert!(failure(&[1.0, 2.0], &[1.0, 2.0], &[1.0]).contains("1 bounds"));
        assert!(failure(&[], &[], &[]).contains("empty"));
        assert!(failure(&[-1e-3], &[1e-3], &[1e-3]).contains("ratio 2.000"));
        assert!(failure(&[1.0 + f32::EPSILON], &[1.0], &[0.0]).contains("ratio inf"));
    }

    #[test]
    fn gamma_counts_roundings() {
        assert_eq!(gamma(0), 0.0);
        assert!(gamma(1) > UNIT_ROUNDOFF && gamma(1) < UNIT_ROUNDOFF * (1.0 + f64::from(f32::EPSILON)));
        assert_eq!(gamma(1 << 24), f64::INFINITY);
    }

    /// Every registry function, computed in f32 by the host, over a range that saturates them.
    #[test]
    fn functions_stay_within_their_error() -> Result<(), String> {
        let points: Vec<f32> = (-4000..=4000).map(|i| i as f32 * 0.0073).collect();
        for &f in Activation::ALL {
            let stored = |z: f32| if f.stored() == Stored::Output { f.value(z) } else { z };
            let z: Vec<[f32; 1]> = points.iter().map(|&z| [z]).collect();
            check(f.name(), &z, |[z]| f.value(z), |[z]| f.value(z))?;
            check(f.name(), &z, |[z]| f.derivative(stored(z)), |[z]| f.derivative_at(z))?;
        }
        for &f in Loss::ALL {
            for t in [-0.5, 0.0, 0.37, 1.0] {
                let y: Vec<[f32; 4]> = points.iter().map(|&y| [y, t, 30.0, 1.0]).collect();
                check(f.name(), &y, |[y, t, l, s]| f.value(y, t, row(l, s)), |[y, t, l, s]| f.value(y, t, row(l, s)))?;
                let slope = |[y, t, l, s]: [f64; 4]| f.derivative(y, t, row(l, s));
                check(f.name(), &y, |[y, t, l, s]| f.derivative(y, t, row(l, s)), slope)?;
            }
        }
        Ok(())
    }

    fn row<T>(log_sum_exp: T, target_sum: T) -> Row<T> {
        Row { log_sum_exp, target_sum }
    }

    fn check<const K: usize>(
        what: &str,
        points: &[[f32; K]],
        actual: impl Fn([f32; K]) -> f32,
        expected: impl Fn([f64; K]) -> f64,
    ) -> Result<Comparison, String> {
        let exact = points.iter().map(|x| x.map(f64::from));
        let bounds: Vec<f64> = exact.clone().map(|x| function_error(&expected, x, [0.0; K])).collect();
        let actual: Vec<f32> = points.iter().map(|&x| actual(x)).collect();
        compare(what, &actual, &exact.map(&expected).collect::<Vec<_>>(), &bounds)
    }

    #[test]
    fn an_argument_that_may_pass_a_jump_gets_all_of_it() {
        let step = |[z]: [f64; 1]| Activation::Relu.derivative_at(z);
        assert!(function_error(step, [0.001], [0.002]) >= 1.0);
        assert!(function_error(step, [0.001], [0.0005]) < 1e-5);
        assert!(function_error(step, [0.0], [0.0]) < 1e-5);
    }
}
