// Beyond 2^30 epsilon is lost against y^2, whose square soon overflows: fractions of y take over.
fn loss_value(y: f32, t: f32, row: Row) -> f32 {
  let far = 1.0 - t / y;
  return select((y - t) * (y - t) / (y * y + 0.01), far * far, abs(y) > 1073741824.0);
}
fn loss_derivative(y: f32, t: f32, row: Row) -> f32 {
  let fraction = t / y;
  let far = 2.0 * (1.0 - fraction) * fraction / y;
  let denominator = y * y + 0.01;
  return select(2.0 * (y - t) * (0.01 + y * t) / (denominator * denominator), far, abs(y) > 1073741824.0);
}
