@group(0) @binding(8) var<storage, read> scaler: array<f32>;
fn delta_scale() -> f32 { return scale(); }
