@group(0) @binding(7) var<storage, read> stored: array<f32>;
fn stored_of(at: u32) -> f32 { return stored[at]; }
