// y = x + mask ⊙ a. dims: rows, cols.
@group(0) @binding(3) var<storage, read> a: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = linear_workgroup(workgroup, count) * 256u + local;
  if i >= u.dims.x * u.dims.y {
    return;
  }
  y[i] = beside(i) + mask(i) * a[i];
}
