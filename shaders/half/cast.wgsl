// halves[i] = values[i] as f16. dims: length.

@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> halves: array<f16>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = linear_workgroup(workgroup, count) * 256u + local;
  if i < u.dims.x {
    halves[i] = f16(values[i]);
  }
}
