fn a_value(i: u32, k: u32) -> f32 { return a[a_at(i, k)]; }
fn b_value(k: u32, j: u32) -> f32 { return b[b_at(k, j)]; }
