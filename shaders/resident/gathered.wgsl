// A batch of the data set, by index. A number that lies outside is held inside: no text checks it later.
@group(0) @binding(3) var<storage, read> order: array<u32>;
@group(0) @binding(4) var<storage, read> data_inputs: array<f32>;
@group(0) @binding(5) var<storage, read> data_targets: array<f32>;

fn sample_of(entry: Schedule, row: u32) -> u32 {
  return min(order[min(entry.first + row, arrayLength(&order) - 1u)], u.dims.z - 1u);
}
fn input_at(i: u32) -> f32 { return data_inputs[i]; }
fn target_at(i: u32) -> f32 { return data_targets[i]; }
