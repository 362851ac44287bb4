fn update(i: u32, p: Element, g: Element, learning_rate: f32) -> Element {
  return p - learning_rate * g;
}
