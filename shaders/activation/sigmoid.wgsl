fn activation(z: f32) -> f32 { return sigmoid(z); }
fn activation_derivative(a: f32) -> f32 { return a * (1.0 - a); }
