fn stored_of(at: u32) -> f32 { return output[at]; }
