fn activation_of(z: Element) -> Element {
  return Element(activation(z.x), activation(z.y), activation(z.z), activation(z.w));
}
fn derivative_of(s: Element) -> Element {
  return Element(
    activation_derivative(s.x), activation_derivative(s.y), activation_derivative(s.z), activation_derivative(s.w));
}
