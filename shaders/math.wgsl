// Functions that WGSL lacks, or whose built-in form overflows or is inexact somewhere. All are total: every finite
// argument gives a finite result, and NaN gives NaN.

// 1 / (1 + exp(-x)); exp sees only arguments <= 0, so it cannot overflow.
fn sigmoid(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(1.0, e, x < 0.0) / (1.0 + e);
}

// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))
fn softplus(x: f32) -> f32 {
  return select(x, 0.0, x < 0.0) + log(1.0 + exp(-abs(x)));
}

// The built-in tanh overflows to NaN on some drivers. Near zero 1 - exp(-2|x|) cancels; there the Maclaurin series is
// exact to rounding.
fn hyperbolic_tangent(x: f32) -> f32 {
  let e = exp(-2.0 * abs(x));
  let far = (1.0 - e) / (1.0 + e);
  let u = x * x;
  let near = x * (1.0 + u * (-0.33333333 + u * (0.13333333 + u * (-0.053968254 + u * 0.021869489))));
  return select(select(far, -far, x < 0.0), near, u < 0.0625);
}

// sin(r) for |r| <= pi/2: an odd minimax polynomial, within 2 units in the last place of 1.
fn sine_kernel(r: f32) -> f32 {
  let u = r * r;
  return r + r * u * (-0.1666666 + u * (0.008333087 + u * (-0.00019811037 + u * 2.6087505e-6)));
}

// x - n * pi with pi in three parts (Cody and Waite), so that n * part is exact for |n| < 2^13, also for halves.
fn minus_pi_times(x: f32, n: f32) -> f32 {
  return ((x - n * 3.140625) - n * 0.00096702576) - n * 6.2783295e-7;
}

// Beyond this the reduction is no longer exact and the built-in function answers.
const SINE_RANGE: f32 = 8192.0;

fn sine(x: f32) -> f32 {
  let n = floor(x * 0.31830987 + 0.5);
  let s = sine_kernel(minus_pi_times(x, n));
  let odd = n - 2.0 * floor(0.5 * n);
  return select(select(s, -s, odd > 0.5), sin(x), abs(x) > SINE_RANGE);
}

// cos(x) = -(-1)^n sin(x - (n + 1/2) pi)
fn cosine(x: f32) -> f32 {
  let n = floor(x * 0.31830987);
  let s = sine_kernel(minus_pi_times(x, n + 0.5));
  let odd = n - 2.0 * floor(0.5 * n);
  return select(select(-s, s, odd > 0.5), cos(x), abs(x) > SINE_RANGE);
}

// erf(x): an odd minimax polynomial below 1; above, 1 - exp(-Q(x)) with Q fitted to -log(erfc(x)); 1 in f32 from 4 on.
fn erf(x: f32) -> f32 {
  let u = x * x;
  let near = x * (1.1283791 + u * (-0.37612626 + u * (0.112836 + u * (-0.026854444
    + u * (0.0051895357 + u * (-0.0008020842 + u * 7.889123e-5))))));
  let a = min(abs(x), 4.0);
  let q = 0.00035371933 + a * (1.12704 + a * (0.6382257 + a * (0.10303737
    + a * (-0.021805318 + a * (0.0029396075 + a * -0.00018557403)))));
  let far = 1.0 - exp(-q);
  return select(select(far, -far, x < 0.0), near, u < 1.0);
}
