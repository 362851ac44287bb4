// What an element of a loss needs to know of its row: log Σ exp(y) and Σ t.
struct Row {
  log_sum_exp: f32,
  target_sum: f32,
}
