fn activation(z: f32) -> f32 { return softplus(z); }
// 1 - exp(-a), as a series where the difference would cancel.
fn activation_derivative(a: f32) -> f32 {
  return select(1.0 - exp(-a), a * (1.0 - a * (0.5 - a * 0.16666667)), a < 0.015625);
}
