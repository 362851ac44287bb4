fn loss_value(y: f32, t: f32, row: Row) -> f32 { return t * (row.log_sum_exp - y); }
fn loss_derivative(y: f32, t: f32, row: Row) -> f32 { return exp(y - row.log_sum_exp) * row.target_sum - t; }
