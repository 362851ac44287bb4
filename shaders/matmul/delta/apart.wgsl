// What the forward pass stored for the derivative stays: another product needs it still.
@group(0) @binding(4) var<storage, read> stored: array<Operand>;
fn stored_at(at: u32) -> Element { return operand(stored[at]); }
