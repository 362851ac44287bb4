fn loss_value(y: f32, t: f32, row: Row) -> f32 { return 0.5 * (y - t) * (y - t); }
fn loss_derivative(y: f32, t: f32, row: Row) -> f32 { return y - t; }
