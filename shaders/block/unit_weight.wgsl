fn weight(unit: u32) -> f32 { return 1.0; }
