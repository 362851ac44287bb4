fn a_value(i: u32, k: u32) -> f32 { return f32(a[a_at(i, k)]); }
fn b_value(k: u32, j: u32) -> f32 { return f32(b[first_of_b() + b_at(k, j)]); }
