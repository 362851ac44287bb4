// `min` keeps exp, which `select` evaluates on both sides, from overflowing.
fn activation(z: f32) -> f32 { return select(exp(min(z, 0.0)) - 1.0, z, !(z <= 0.0)); }
fn activation_derivative(a: f32) -> f32 { return select(1.0, a + 1.0, a <= 0.0); }
