fn loss_value(y: f32, t: f32, row: Row) -> f32 { return softplus(y) - y * t; }
fn loss_derivative(y: f32, t: f32, row: Row) -> f32 { return sigmoid(y) - t; }
