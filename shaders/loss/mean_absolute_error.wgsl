fn loss_value(y: f32, t: f32, row: Row) -> f32 { return abs(y - t); }
fn loss_derivative(y: f32, t: f32, row: Row) -> f32 { return sign_or_nan(y - t); }
