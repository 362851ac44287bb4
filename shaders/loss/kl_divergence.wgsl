// A device may take a subnormal target for 0, whose logarithm times 0 is NaN; its part is lost in any sum.
fn loss_value(y: f32, t: f32, row: Row) -> f32 {
  return t * (row.log_sum_exp - y) + t * log(select(1.0, t, t > 1.1754944e-38));
}
fn loss_derivative(y: f32, t: f32, row: Row) -> f32 { return exp(y - row.log_sum_exp) * row.target_sum - t; }
