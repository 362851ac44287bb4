@group(0) @binding(5) var<storage, read> x: array<f32>;
fn beside(index: u32) -> f32 { return x[index]; }
