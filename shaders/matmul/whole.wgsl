// Rows of workgroups are folded into the third dimension where there are more than 65,535.
fn part_of(id: vec3<u32>, count: vec3<u32>) -> Part {
  return Part(id.y + id.z * count.y, 0u, u.dims.z, 0u);
}
fn behind_tiles(id: vec3<u32>, count: vec3<u32>, first: u32, rows: u32, local: u32, invocations: u32) {}
