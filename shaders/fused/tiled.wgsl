// A workgroup computes tiles of 64×64 elements, each of its 16×16 invocations 4×4 elements that lie 16 apart, so that
// neighbours touch neighbouring memory. Strips of both operands, 16 deep, pass through workgroup memory as [depth, 64].
const WORKGROUP: u32 = 256u;
const TILE: u32 = 64u;
const DEPTH: u32 = 16u;

var<workgroup> a_strip: array<Stored, 1024>;
var<workgroup> b_strip: array<Stored, 1024>;

alias Sums = ptr<function, vec4<f32>>;

// Sixteen terms of every sum.
fn turn(local: u32, sums0: Sums, sums1: Sums, sums2: Sums, sums3: Sums) {
  workgroupBarrier();
  let x = local % 16u;
  let y = local / 16u;
  for (var k = 0u; k < DEPTH; k++) {
    let at = k * TILE;
    let b = vec4<f32>(vec4<Stored>(b_strip[at + x], b_strip[at + x + 16u], b_strip[at + x + 32u], b_strip[at + x + 48u]));
    *sums0 = fma(vec4<f32>(f32(a_strip[at + y])), b, *sums0);
    *sums1 = fma(vec4<f32>(f32(a_strip[at + y + 16u])), b, *sums1);
    *sums2 = fma(vec4<f32>(f32(a_strip[at + y + 32u])), b, *sums2);
    *sums3 = fma(vec4<f32>(f32(a_strip[at + y + 48u])), b, *sums3);
  }
  workgroupBarrier();
}

// A strip of a matrix in scratch memory whose rows are those of the tile.
fn load_rows(at: u32, stride: u32, row: u32, rows: u32, k0: u32, depth: u32, local: u32) {
  for (var r = 0u; r < 4u; r++) {
    let i = local / DEPTH + 16u * r;
    let k = local % DEPTH;
    var value = Stored(0.0);
    if row + i < rows && k0 + k < depth {
      value = scratch[at + (row + i) * stride + k0 + k];
    }
    a_strip[k * TILE + i] = value;
  }
}

// a = f(z) with z = Σ_k input[r, k] weight[j, k] + bias
fn forward(layer: Layer, l: u32, base: u32, rows: u32, local: u32) {
  for (var row = 0u; row < tall(rows); row += TILE) {
    for (var col = 0u; col < layer.outputs; col += TILE) {
      var sums0 = vec4<f32>(0.0);
      var sums1 = vec4<f32>(0.0);
      var sums2 = vec4<f32>(0.0);
      var sums3 = vec4<f32>(0.0);
      for (var k0 = 0u; k0 < layer.inputs; k0 += DEPTH) {
        load_rows(base + layer.input, padded(layer.inputs), row, tall(rows), k0, layer.inputs, local);
        for (var r = 0u; r < 4u; r++) {
          let j = local / DEPTH + 16u * r;
          let k = local % DEPTH;
          var value = Stored(0.0);
          if col + j < layer.outputs && k0 + k < layer.inputs {
            value = weight_at(layer.weight + (col + j) * layer.inputs + k0 + k);
          }
          b_strip[k * TILE + j] = value;
        }
        turn(local, &sums0, &sums1, &sums2, &sums3);
      }
      let i = row + local / 16u;
      let j = col + local % 16u;
      finish_forward(layer, l, base, rows, i, j, sums0);
      finish_forward(layer, l, base, rows, i + 16u, j, sums1);
      finish_forward(layer, l, base, rows, i + 32u, j, sums2);
      finish_forward(layer, l, base, rows, i + 48u, j, sums3);
    }
  }
}

fn finish_forward(layer: Layer, l: u32, base: u32, rows: u32, i: u32, col: u32, sums: vec4<f32>) {
  for (var e = 0u; e < 4u; e++) {
    let j = col + 16u * e;
    if i < tall(rows) && j < layer.outputs {
      store_forward(layer, l, base, i, j, sums[e]);
    }
  }
}
