alias Total = f32;
fn total_of(r: u32) -> Total { return row_loss[r]; }
fn conclude(total: Total) -> f32 { return total; }
