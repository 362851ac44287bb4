// |d| + log(1 + exp(-2|d|)) - log 2: the exponential cannot overflow.
fn loss_value(y: f32, t: f32, row: Row) -> f32 {
  let d = abs(y - t);
  return d + (log(1.0 + exp(-2.0 * d)) - 0.6931472);
}
fn loss_derivative(y: f32, t: f32, row: Row) -> f32 { return hyperbolic_tangent(y - t); }
