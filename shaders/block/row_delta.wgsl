fn inside(unit: u32) -> f32 { return scale[unit]; }
fn outside(unit: u32) -> f32 { return 1.0; }
fn counted() -> u32 { return u.dims.y; }
fn is_padding(row: u32) -> bool { return false; }
