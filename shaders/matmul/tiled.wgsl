// A workgroup computes a 64×64 tile, each of its 16×16 invocations 4×4 elements that lie 16 apart, so that neighbours
// touch neighbouring memory. Strips of A and B, 16 deep, pass through workgroup memory as [depth, 64]. The sums run over
// k in the order of the naive kernel.
const TILE: u32 = 64u;
const DEPTH: u32 = 16u;

var<workgroup> a_strip: array<f32, 1024>;
var<workgroup> b_strip: array<f32, 1024>;

// Neighbouring invocations read neighbouring memory: along k where a row of the operand runs along k.
fn load_a(row: u32, k0: u32, end: u32, local: u32) {
  for (var r = 0u; r < 4u; r++) {
    let i = select(local % TILE, local / DEPTH + 16u * r, A_ALONG_K);
    let k = select(local / TILE + 4u * r, local % DEPTH, A_ALONG_K);
    var value = 0.0;
    if row + i < u.dims.x && k0 + k < end {
      value = a_value(row + i, k0 + k);
    }
    a_strip[k * TILE + i] = value;
  }
}

fn load_b(col: u32, k0: u32, end: u32, local: u32) {
  for (var r = 0u; r < 4u; r++) {
    let j = select(local % TILE, local / DEPTH + 16u * r, B_ALONG_K);
    let k = select(local / TILE + 4u * r, local % DEPTH, B_ALONG_K);
    var value = 0.0;
    if col + j < u.dims.y && k0 + k < end {
      value = b_value(k0 + k, col + j);
    }
    b_strip[k * TILE + j] = value;
  }
}

@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_id) id: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let part = part_of(workgroup, count);
  let row = part.row_of_groups * TILE;
  let col = workgroup.x * TILE;
  behind_tiles(workgroup, count, row, TILE, local, 256u);
  var sums0 = vec4<f32>(0.0);
  var sums1 = vec4<f32>(0.0);
  var sums2 = vec4<f32>(0.0);
  var sums3 = vec4<f32>(0.0);
  for (var k0 = part.begin; k0 < part.end; k0 += DEPTH) {
    load_a(row, k0, part.end, local);
    load_b(col, k0, part.end, local);
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
      let at = k * TILE;
      let bs = vec4<f32>(
        b_strip[at + id.x], b_strip[at + id.x + 16u], b_strip[at + id.x + 32u], b_strip[at + id.x + 48u]);
      sums0 = fma(vec4<f32>(a_strip[at + id.y]), bs, sums0);
      sums1 = fma(vec4<f32>(a_strip[at + id.y + 16u]), bs, sums1);
      sums2 = fma(vec4<f32>(a_strip[at + id.y + 32u]), bs, sums2);
      sums3 = fma(vec4<f32>(a_strip[at + id.y + 48u]), bs, sums3);
    }
    workgroupBarrier();
  }
  // A loop, so that the epilogue with its activation is compiled once and not for every element.
  var sums = array<vec4<f32>, 4>(sums0, sums1, sums2, sums3);
  for (var e = 0u; e < 16u; e++) {
    let i = row + id.y + 16u * (e / 4u);
    let j = col + id.x + 16u * (e % 4u);
    if i < u.dims.x && j < u.dims.y {
      epilogue(part.first_row + i, j, sums[e / 4u][e % 4u]);
    }
  }
}
