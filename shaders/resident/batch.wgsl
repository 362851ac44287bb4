// The batch that lies in a buffer of its own, `[rows, inputs]` and `[rows, outputs]`.
@group(0) @binding(3) var<storage, read> input: array<f32>;
@group(0) @binding(4) var<storage, read> target_rows: array<f32>;

fn sample_of(entry: Schedule, row: u32) -> u32 { return row; }
fn input_at(i: u32) -> f32 { return input[i]; }
fn target_at(i: u32) -> f32 { return target_rows[i]; }
