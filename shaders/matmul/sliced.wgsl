// A workgroup computes a 16×16 tile, for matrices so small that large tiles would leave most of a GPU idle. Each of its 256
// invocations has a block of 4×4 elements and sums every sixteenth block of four terms; the sums of the sixteen slices are
// then added up in their order.
const TILE: u32 = 16u;
const SLICES: u32 = 16u;

// Vectors of four elements of the tile's rows, sixteen times.
var<workgroup> sums: array<vec4<f32>, 1024>;

// Turned by one place from vector to vector, so that neither the slices of a vector nor a slice's vectors share a bank.
fn place(vector: u32, slice: u32) -> u32 { return vector * SLICES + (vector + slice) % SLICES; }

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let part = part_of(workgroup, count);
  let row = part.row_of_groups * TILE;
  let col = workgroup.x * TILE;
  behind_tiles(workgroup, count, row, TILE, local, 256u);
  let slice = local % SLICES;
  let i = local / SLICES / 4u * 4u;
  let j = local / SLICES % 4u * 4u;
  var sums0 = vec4<f32>(0.0);
  var sums1 = vec4<f32>(0.0);
  var sums2 = vec4<f32>(0.0);
  var sums3 = vec4<f32>(0.0);
  for (var k = part.begin + 4u * slice; k < part.end; k += 4u * SLICES) {
    let x = a_block(row + i, k, part.end);
    let y = b_block(k, col + j, part.end);
    sums0 = fma(vec4<f32>(x.term0.x), y.term0, sums0);
    sums1 = fma(vec4<f32>(x.term0.y), y.term0, sums1);
    sums2 = fma(vec4<f32>(x.term0.z), y.term0, sums2);
    sums3 = fma(vec4<f32>(x.term0.w), y.term0, sums3);
    sums0 = fma(vec4<f32>(x.term1.x), y.term1, sums0);
    sums1 = fma(vec4<f32>(x.term1.y), y.term1, sums1);
    sums2 = fma(vec4<f32>(x.term1.z), y.term1, sums2);
    sums3 = fma(vec4<f32>(x.term1.w), y.term1, sums3);
    sums0 = fma(vec4<f32>(x.term2.x), y.term2, sums0);
    sums1 = fma(vec4<f32>(x.term2.y), y.term2, sums1);
    sums2 = fma(vec4<f32>(x.term2.z), y.term2, sums2);
    sums3 = fma(vec4<f32>(x.term2.w), y.term2, sums3);
    sums0 = fma(vec4<f32>(x.term3.x), y.term3, sums0);
    sums1 = fma(vec4<f32>(x.term3.y), y.term3, sums1);
    sums2 = fma(vec4<f32>(x.term3.z), y.term3, sums2);
    sums3 = fma(vec4<f32>(x.term3.w), y.term3, sums3);
  }
  let vector = i * 4u + j / 4u;
  sums[place(vector, slice)] = sums0;
  sums[place(vector + 4u, slice)] = sums1;
  sums[place(vector + 8u, slice)] = sums2;
  sums[place(vector + 12u, slice)] = sums3;
  workgroupBarrier();
  let at = local * WIDTH;
  if at >= TILE * TILE {
    return;
  }
  var sum = Element(0.0);
  for (var s = 0u; s < SLICES; s++) {
    sum += sum_at(place(at / 4u, s), at);
  }
  let r = row + at / TILE;
  let c = col + at % TILE;
  if r < u.dims.x && c < u.dims.y {
    epilogue(part.first_row + r, c, sum);
  }
}
