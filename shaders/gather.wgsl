// input[r, :] = data_inputs[order[first + r], :] and target[r, :] likewise; rows past the batch's end become 0.
// dims: batch rows, inputs, outputs. One invocation per element.

@group(0) @binding(2) var<storage, read> clock: array<u32>;
@group(0) @binding(3) var<storage, read> order: array<u32>;
@group(0) @binding(4) var<storage, read> data_inputs: array<f32>;
@group(0) @binding(5) var<storage, read> data_targets: array<f32>;
@group(0) @binding(6) var<storage, read_write> input: array<Stored>;
@group(0) @binding(7) var<storage, read_write> target_rows: array<f32>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let width = u.dims.y + u.dims.z;
  let i = linear_workgroup(workgroup, count) * 256u + local;
  let row = i / width;
  let col = i % width;
  if row >= u.dims.x {
    return;
  }
  let entry = schedule[min(clock[0], arrayLength(&schedule) - 1u)];
  let live = row < entry.rows;
  let sample = order[select(0u, entry.first + row, live)];
  if col < u.dims.y {
    input[row * u.dims.y + col] = Stored(select(0.0, data_inputs[sample * u.dims.y + col], live));
  } else {
    let j = col - u.dims.y;
    target_rows[row * u.dims.z + j] = select(0.0, data_targets[sample * u.dims.z + j], live);
  }
}
