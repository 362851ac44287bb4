// Halved before they are added: the sum of two finite numbers may overflow.
fn loss_denominator(y: f32, t: f32) -> f32 { return 0.5 * abs(y) + 0.5 * abs(t) + 0.01; }
fn loss_value(y: f32, t: f32, row: Row) -> f32 { return abs(y - t) / loss_denominator(y, t); }
fn loss_derivative(y: f32, t: f32, row: Row) -> f32 {
  let denominator = loss_denominator(y, t);
  let numerator = 0.5 * abs(t) + 0.5 * t * sign_or_nan(y) + 0.01;
  return sign_or_nan(y - t) * numerator / (denominator * denominator);
}
