@group(0) @binding(4) var<storage, read> bias: array<Element>;
fn bias_of(j: u32) -> Element { return bias[j / WIDTH]; }
