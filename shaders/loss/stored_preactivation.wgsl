@group(0) @binding(6) var<storage, read> stored: array<Stored>;
fn stored_of(at: u32) -> f32 { return f32(stored[at]); }
