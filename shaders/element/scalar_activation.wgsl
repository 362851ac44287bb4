fn activation_of(z: Element) -> Element { return activation(z); }
fn derivative_of(s: Element) -> Element { return activation_derivative(s); }
