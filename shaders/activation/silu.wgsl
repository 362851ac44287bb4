fn activation(z: f32) -> f32 { return z * sigmoid(z); }
fn activation_derivative(z: f32) -> f32 {
  let s = sigmoid(z);
  return s * (1.0 + z * (1.0 - s));
}
