// One invocation per element: the specification of every faster variant.
@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
) {
  let part = part_of(workgroup, count);
  let row = part.row_of_groups * 16u;
  behind_tiles(workgroup, count, row, 16u, local.y * 16u + local.x, 256u);
  let i = row + local.y;
  let j = workgroup.x * 16u + local.x;
  if i >= u.dims.x || j >= u.dims.y {
    return;
  }
  var sum = 0.0;
  for (var k = part.begin; k < part.end; k++) {
    sum = fma(a_value(i, k), b_value(k, j), sum);
  }
  epilogue(part.first_row + i, j, sum);
}
