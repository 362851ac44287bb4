fn activation(z: f32) -> f32 { return hyperbolic_tangent(z); }
fn activation_derivative(a: f32) -> f32 { return 1.0 - a * a; }
