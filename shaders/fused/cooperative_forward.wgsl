fn store(part: Part, i: u32, j: u32, sum: f32) { store_forward(part.layer, part.l, part.base, i, j, sum); }
