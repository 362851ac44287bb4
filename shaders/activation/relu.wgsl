// `select` rather than `max`, which may drop a NaN.
fn activation(z: f32) -> f32 { return select(z, 0.0, z < 0.0); }
fn activation_derivative(a: f32) -> f32 { return select(0.0, 1.0, a > 0.0); }
