fn loss_value(y: f32, t: f32, row: Row) -> f32 {
  let d = abs(y - t);
  return select(d - 0.5, 0.5 * d * d, d <= 1.0);
}
fn loss_derivative(y: f32, t: f32, row: Row) -> f32 {
  let d = y - t;
  return select(select(d, -1.0, d < -1.0), 1.0, d > 1.0);
}
