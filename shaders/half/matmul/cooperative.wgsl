fn is_inside(part: Part, i: u32, j: u32) -> bool { return i < u.dims.x && j < u.dims.y; }
fn store(part: Part, i: u32, j: u32, sum: f32) { epilogue(part.first_row + i, j, sum); }

@compute @workgroup_size(4u * LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let part = part_of(workgroup, count);
  tile(part, part.row_of_groups * TILE, workgroup.x * TILE, local);
}
