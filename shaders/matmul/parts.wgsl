// The sums in dims.w parts along the third dimension of workgroups, each stored as a matrix of its own.
fn part_of(id: vec3<u32>, count: vec3<u32>) -> Part {
  let length = ((u.dims.z + 3u) / 4u + u.dims.w - 1u) / u.dims.w * 4u;
  let begin = min(id.z * length, u.dims.z);
  return Part(id.y, begin, min(begin + length, u.dims.z), id.z * u.dims.x);
}
fn behind_tiles(id: vec3<u32>, count: vec3<u32>, first: u32, rows: u32, local: u32, invocations: u32) {}
