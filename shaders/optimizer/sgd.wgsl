fn update(i: u32, p: f32, g: f32, learning_rate: f32) -> f32 {
  return p - learning_rate * g;
}
