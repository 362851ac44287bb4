// δ comes in place of what the forward pass stored for the derivative.
fn stored_at(at: u32) -> Element { return operand(c[at]); }
