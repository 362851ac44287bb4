fn keep(at: u32, z: f32) {}
