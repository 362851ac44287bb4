fn activation(z: f32) -> f32 { return select(z, 0.01 * z, z < 0.0); }
fn activation_derivative(a: f32) -> f32 { return select(0.01, 1.0, a > 0.0); }
