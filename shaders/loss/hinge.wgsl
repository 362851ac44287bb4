// Half way between the classes 0 and 1, and on the right side of -1 as well.
fn loss_side(t: f32) -> f32 { return select(-1.0, 1.0, t > 0.5); }
fn loss_value(y: f32, t: f32, row: Row) -> f32 {
  let missing = 1.0 - loss_side(t) * y;
  return select(missing, 0.0, missing < 0.0);
}
fn loss_derivative(y: f32, t: f32, row: Row) -> f32 {
  let missing = 1.0 - loss_side(t) * y;
  return select(select(missing, 0.0, missing <= 0.0), -loss_side(t), missing > 0.0);
}
