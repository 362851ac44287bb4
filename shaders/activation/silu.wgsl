fn activation(z: f32) -> f32 { return z * sigmoid(z); }
fn activation_derivative(z: f32) -> f32 {
  // sigmoid(-z) is 1 - sigmoid(z) without the cancellation.
  return sigmoid(z) * (1.0 + z * sigmoid(-z));
}
