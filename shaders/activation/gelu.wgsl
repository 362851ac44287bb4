fn normal_cdf(z: f32) -> f32 { return 0.5 * (1.0 + erf(z * 0.70710678)); }
fn activation(z: f32) -> f32 { return z * normal_cdf(z); }
fn activation_derivative(z: f32) -> f32 {
  return normal_cdf(z) + z * 0.39894228 * exp(-0.5 * z * z);
}
