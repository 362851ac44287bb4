fn total(local: u32, part: f32) -> f32 { return part; }
