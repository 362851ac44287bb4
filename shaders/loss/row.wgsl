// What an element of a loss needs to know of its row: log Σ exp(y) and Σ t.
struct Row {
  log_sum_exp: f32,
  target_sum: f32,
}

// The built-in sign may turn NaN into a number.
fn sign_or_nan(x: f32) -> f32 {
  return select(select(x, -1.0, x < 0.0), 1.0, x > 0.0);
}
