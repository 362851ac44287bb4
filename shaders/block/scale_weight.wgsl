@group(0) @binding(4) var<storage, read> scale: array<f32>;
fn weight(unit: u32) -> f32 { return scale[unit]; }
