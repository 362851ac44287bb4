// exp(y), which stays at exp(88) beyond: the last power that f32 holds, so that no difference of infinities is NaN.
fn loss_rate(y: f32) -> f32 { return exp(select(y, 88.0, y > 88.0)); }
fn loss_value(y: f32, t: f32, row: Row) -> f32 { return loss_rate(y) - t * y; }
fn loss_derivative(y: f32, t: f32, row: Row) -> f32 { return loss_rate(y) - t; }
