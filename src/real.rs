//! The scalar type of the CPU side: `f32` for speed, `f64` for the proof.
//!
//! The functions of `f32` are written without branches or calls, so that a loop over them becomes vector instructions;
//! those of `f64` are the standard library's. Each says how far it may be from the truth, in units in the last place (ulp).

use half::f16;
use half::slice::HalfFloatSliceExt;
use num_traits::Num;
use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, MulAssign, Neg};

/// A floating-point type that every CPU twin is generic over.
pub trait Real:
    Num
    + Copy
    + PartialOrd
    + Neg<Output = Self>
    + Sum
    + AddAssign
    + MulAssign
    + Default
    + Debug
    + Display
    + bytemuck::Pod
    + Send
    + Sync
    + 'static
{
    /// Rounds an `f64` to this type.
    fn of(x: f64) -> Self;
    /// This value as `f64`; exact.
    fn f64(self) -> f64;
    /// `-∞`
    fn neg_infinity() -> Self;
    /// The larger of two numbers; the other one where one is NaN.
    fn max(self, other: Self) -> Self;
    /// `|x|`
    fn abs(self) -> Self;
    /// `exp x`
    fn exp(self) -> Self;
    /// `exp(x) - 1`, exact to the last few bits near 0 too.
    fn exp_m1(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// `log(1 + x)`, exact to the last few bits near 0 too.
    fn ln_1p(self) -> Self;
    /// `√x`; NaN where `x < 0`.
    fn sqrt(self) -> Self;
    /// `x^y`; NaN where `x < 0` and `y` is no integer.
    fn powf(self, y: Self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The sine.
    fn sin(self) -> Self;
    /// The cosine.
    fn cos(self) -> Self;
    /// The error function `2/√π ∫₀ˣ exp(-t²) dt`.
    fn erf(self) -> Self;
    /// Rounds each value to the nearest f16. `f64`, which is for the proof, keeps its values.
    fn round_to_half(values: &mut [Self]);
    /// `dst = lhs · rhs`, on the threads of `rayon` where `parallel`.
    ///
    /// # Safety
    /// Each [`Strided`] must cover its whole matrix inside one allocation, and `dst` must overlap neither operand.
    unsafe fn gemm(
        shape: [usize; 3],
        dst: Strided<*mut Self>,
        lhs: Strided<*const Self>,
        rhs: Strided<*const Self>,
        parallel: bool,
    );
}

fn round_to_half(values: &mut [f32]) {
    let mut halves = [f16::ZERO; 256];
    for values in values.chunks_mut(halves.len()) {
        let halves = &mut halves[..values.len()];
        halves.convert_from_f32_slice(values);
        halves.convert_to_f32_slice(values);
    }
}

fn keep(_: &mut [f64]) {}

/// A matrix by its first element and the distance, in elements, to the next row and the next column.
#[derive(Clone, Copy, Debug)]
pub struct Strided<P> {
    /// The element in row 0 and column 0.
    pub first: P,
    /// Elements from one row to the next.
    pub row: usize,
    /// Elements from one column to the next.
    pub col: usize,
}

macro_rules! real {
    ($type:ident, $gemm:path, $round_to_half:path, {$($name:ident = $function:expr),*}) => {
        impl Real for $type {
            #[inline]
            fn of(x: f64) -> Self {
                x as $type
            }
            #[inline]
            fn f64(self) -> f64 {
                f64::from(self)
            }
            #[inline]
            fn neg_infinity() -> Self {
                $type::NEG_INFINITY
            }
            #[inline]
            fn max(self, other: Self) -> Self {
                $type::max(self, other)
            }
            #[inline]
            fn powf(self, y: Self) -> Self {
                $type::powf(self, y)
            }
            $(#[inline]
            fn $name(self) -> Self {
                $function(self)
            })*
            fn round_to_half(values: &mut [Self]) {
                $round_to_half(values)
            }
            unsafe fn gemm(
                [m, n, k]: [usize; 3],
                dst: Strided<*mut Self>,
                lhs: Strided<*const Self>,
                rhs: Strided<*const Self>,
                parallel: bool,
            ) {
                let threads = match parallel {
                    true => gemm_common::Parallelism::Rayon(0),
                    false => gemm_common::Parallelism::None,
                };
                // The crate's kernels want a destination with contiguous columns. Ours is row-major, so the
                // transposed product is asked for: dstᵀ = rhsᵀ · lhsᵀ.
                // SAFETY: the caller vouches for the extents; `read_dst` is false, so `dst` is only written.
                unsafe {
                    $gemm()(
                        n,
                        m,
                        k,
                        dst.first,
                        dst.row as isize,
                        dst.col as isize,
                        false,
                        rhs.first,
                        rhs.row as isize,
                        rhs.col as isize,
                        lhs.first,
                        lhs.row as isize,
                        lhs.col as isize,
                        0.0,
                        1.0,
                        false,
                        false,
                        false,
                        threads,
                    );
                }
            }
        }
    };
}

real!(f32, gemm_f32::gemm::f32::get_gemm_fn, round_to_half, {
    abs = f32::abs, exp = exp, exp_m1 = exp_m1, ln = f32::ln, ln_1p = ln_1p, sqrt = f32::sqrt, tanh = tanh, sin = f32::sin,
    cos = f32::cos, erf = libm::erff
});
real!(f64, gemm_f64::gemm::f64::get_gemm_fn, keep, {
    abs = f64::abs, exp = f64::exp, exp_m1 = f64::exp_m1, ln = f64::ln, ln_1p = f64::ln_1p, sqrt = f64::sqrt, tanh = f64::tanh,
    sin = f64::sin, cos = f64::cos, erf = libm::erf
});

/// `exp x = 2ᵏ (1 + q)`, the two halves of the power apart, since `2ᵏ` alone may lie outside f32.
struct Exponential {
    /// `exp r - 1` for the remainder `r` of `x` to the nearest multiple of `ln 2`.
    q: f32,
    /// `2ᵏ` is the product of the two.
    powers: [f32; 2],
    /// `1 / powers[1]`, exact.
    inverse: f32,
}

/// The argument's reduction and polynomial of Cephes (S. Moshier, `expf.c`).
#[inline(always)]
fn exponential(x: f32) -> Exponential {
    // 3·2²²: what is added to it is rounded to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts: the first has so few bits that its product with k is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // Beyond these it is ∞ or 0 either way. Written so that NaN stays.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let k = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let multiple = shifted - ROUND;
    let r = (x - multiple * LN_2[0]) - multiple * LN_2[1];
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let power = |k: i32| f32::from_bits((k.wrapping_add(127) as u32) << 23);
    let half = k >> 1;
    Exponential {
        q: p * r * r + r,
        powers: [power(half), power(k.wrapping_sub(half))],
        inverse: power(half.wrapping_sub(k)),
    }
}

/// Within 1 ulp.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let Exponential { q, powers, .. } = exponential(x);
    (1.0 + q) * powers[0] * powers[1]
}

/// Within 2 ulp.
#[inline(always)]
fn exp_m1(x: f32) -> f32 {
    let Exponential { q, powers, inverse } = exponential(x);
    (q * powers[0] + (powers[0] - inverse)) * powers[1]
}

/// Within 3 ulp.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    let e = exp_m1(-2.0 * x.abs());
    (-e / (e + 2.0)).copysign(x)
}

/// Within 1 ulp; NaN where `x < -1`. The polynomial for the logarithm is that of Cephes (`logf.c`).
#[inline(always)]
fn ln_1p(x: f32) -> f32 {
    let u = 1.0 + x;
    // u = 2ᵏ (1 + f) with 1 + f between √½ and √2.
    let k = (u.to_bits() as i32).wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32) >> 23;
    let f = f32::from_bits((u.to_bits() as i32).wrapping_sub(k << 23) as u32) - 1.0;
    let p = 7.037_683_6e-2;
    let p = p * f - 1.151_461e-1;
    let p = p * f + 1.167_699_87e-1;
    let p = p * f - 1.242_014_1e-1;
    let p = p * f + 1.424_932_3e-1;
    let p = p * f - 1.666_805_8e-1;
    let p = p * f + 2.000_071_5e-1;
    let p = p * f - 2.499_999_4e-1;
    let p = p * f + 3.333_333e-1;
    let k = k as f32;
    // What rounding 1 + x lost is added again.
    let lost = (x - (u - 1.0)) / u;
    let ln = (f + (p * f * f * f - 0.5 * f * f + (lost - 2.121_944_4e-4 * k))) + 0.693_359_4 * k;
    if u > 0.0 && u < f32::INFINITY {
        ln
    } else if u == 0.0 {
        f32::NEG_INFINITY
    } else if u > 0.0 {
        u
    } else {
        f32::NAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest error of `f` on every 9973rd f32 in a range, in units in the last place.
    fn worst(range: std::ops::RangeInclusive<f32>, f: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        let magnitudes = (0..f32::INFINITY.to_bits()).step_by(9973).map(f32::from_bits);
        let points = magnitudes.flat_map(|x| [x, -x]).filter(|x| range.contains(x));
        let error = |x: f32| {
            let exact = exact(f64::from(x));
            let size = (exact.abs() as f32).max(f32::MIN_POSITIVE);
            let ulp = f64::from(f32::from_bits(size.to_bits() + 1)) - f64::from(size);
            (f64::from(f(x)) - exact).abs() / ulp
        };
        points.map(error).fold(0.0, f64::max)
    }

    #[test]
    fn functions_are_as_accurate_as_they_say() {
        assert!(worst(-103.0..=88.72, exp, f64::exp) <= 1.0);
        assert!(worst(-200.0..=88.72, exp_m1, f64::exp_m1) <= 2.0);
        assert!(worst(-200.0..=200.0, tanh, f64::tanh) <= 3.0);
        assert!(worst(-0.999..=1e38, ln_1p, f64::ln_1p) <= 1.0);
    }

    #[test]
    fn functions_keep_what_is_not_finite() {
        type Pair = (fn(f32) -> f32, fn(f32) -> f32);
        let functions: [Pair; 4] = [(exp, f32::exp), (exp_m1, f32::exp_m1), (tanh, f32::tanh), (ln_1p, f32::ln_1p)];
        for (ours, theirs) in functions {
            assert!(ours(f32::NAN).is_nan());
            for x in [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -1e30, 89.0, -104.0, -1.0, 0.0] {
                let (found, expected) = (ours(x), theirs(x));
                let close = (found - expected).abs() <= 4.0 * f32::EPSILON * expected.abs();
                assert!(found == expected || close || found.is_nan() && expected.is_nan(), "{x}: {found}, {expected}");
            }
        }
    }
}
