@group(0) @binding(8) var<storage, read> overflow: array<u32>;
fn is_skipped() -> bool { return overflow[0] != 0u; }
