@group(0) @binding(2) var<storage, read> clock: array<u32>;
fn inside(unit: u32) -> f32 { return 1.0; }
fn outside(unit: u32) -> f32 { return scale[unit]; }
fn counted() -> u32 { return schedule[min(clock[0], arrayLength(&schedule) - 1u)].rows; }
fn is_padding(row: u32) -> bool { return row >= counted(); }
