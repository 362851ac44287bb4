fn stored_of(at: u32) -> f32 { return f32(output[at]); }
