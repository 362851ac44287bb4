fn counted() -> u32 { return elements(); }
fn taken(item: u32, found: vec2<f32>) -> vec2<f32> { return found; }
