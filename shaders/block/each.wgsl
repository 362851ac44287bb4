// Each element of a matrix has an invocation. dims: rows, cols.
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
  each(i);
}
