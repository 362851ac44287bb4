// B, one of all weights, begins at element dims.w.
fn first_of_b() -> u32 { return u.dims.w; }
