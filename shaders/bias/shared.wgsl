@group(0) @binding(4) var<storage, read> bias: array<f32>;
fn bias_of(j: u32) -> Element { return Element(bias[0]); }
