fn loss_value(y: f32, t: f32, row: Row) -> f32 { return abs(y - t); }
fn loss_derivative(y: f32, t: f32, row: Row) -> f32 {
  let d = y - t;
  return select(select(d, -1.0, d < 0.0), 1.0, d > 0.0);
}
