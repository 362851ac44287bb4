// A workgroup computes tiles of 64×64 elements, each of its invocations four rows of four neighbouring columns. Strips of both
// operands, 16 terms deep, pass through workgroup memory: behind one another, for each term the rows or columns of the tile as
// vectors of four.
const WORKGROUP: u32 = 256u;
const TILE: u32 = 64u;
const DEPTH: u32 = 16u;
const ACROSS: u32 = TILE / 4u;
const A: u32 = 0u;
const B: u32 = DEPTH * ACROSS;

var<workgroup> strips: array<vec4<Stored>, 512>;

alias Sums = ptr<function, vec4<f32>>;

fn term(at: u32, x: u32, y: u32, sums0: Sums, sums1: Sums, sums2: Sums, sums3: Sums) {
  let a = vec4<f32>(strips[A + at + y]);
  let b = vec4<f32>(strips[B + at + x]);
  *sums0 = fma(vec4<f32>(a.x), b, *sums0);
  *sums1 = fma(vec4<f32>(a.y), b, *sums1);
  *sums2 = fma(vec4<f32>(a.z), b, *sums2);
  *sums3 = fma(vec4<f32>(a.w), b, *sums3);
}

// All terms of the strips.
fn multiply(local: u32, sums0: Sums, sums1: Sums, sums2: Sums, sums3: Sums) {
  let x = local % ACROSS;
  let y = local / ACROSS;
  for (var at = 0u; at < DEPTH * ACROSS; at += 4u * ACROSS) {
    term(at, x, y, sums0, sums1, sums2, sums3);
    term(at + ACROSS, x, y, sums0, sums1, sums2, sums3);
    term(at + 2u * ACROSS, x, y, sums0, sums1, sums2, sums3);
    term(at + 3u * ACROSS, x, y, sums0, sums1, sums2, sums3);
  }
}

// Four neighbouring terms of four rows or columns.
fn put_block(strip: u32, block: u32, x: vec4<f32>, y: vec4<f32>, z: vec4<f32>, w: vec4<f32>) {
  let at = strip + 4u * (block / ACROSS) * ACROSS + block % ACROSS;
  strips[at] = vec4<Stored>(vec4<f32>(x.x, y.x, z.x, w.x));
  strips[at + ACROSS] = vec4<Stored>(vec4<f32>(x.y, y.y, z.y, w.y));
  strips[at + 2u * ACROSS] = vec4<Stored>(vec4<f32>(x.z, y.z, z.z, w.z));
  strips[at + 3u * ACROSS] = vec4<Stored>(vec4<f32>(x.w, y.w, z.w, w.w));
}

// A block of a matrix in scratch memory whose rows, of `stride` vectors, are those of the tile.
fn load_rows(at: u32, stride: u32, row: u32, rows: u32, k0: u32, block: u32) {
  let i = row + 4u * (block % ACROSS);
  let k = k0 / 4u + block / ACROSS;
  var x = vec4<f32>(0.0);
  var y = vec4<f32>(0.0);
  var z = vec4<f32>(0.0);
  var w = vec4<f32>(0.0);
  if i < rows && k < stride {
    x = vector_at(at + i * stride + k);
    y = vector_at(at + (i + 1u) * stride + k);
    z = vector_at(at + (i + 2u) * stride + k);
    w = vector_at(at + (i + 3u) * stride + k);
  }
  put_block(A, block, x, y, z, w);
}

// A block of weights whose rows are the columns of the tile; what lies past the last is that of the last.
fn load_units(layer: Layer, base: u32, col: u32, k0: u32, block: u32) {
  let stride = padded(layer.inputs) / 4u;
  let j = vec4<u32>(0u, 1u, 2u, 3u) + vec4<u32>(col + 4u * (block % ACROSS));
  let at = vec4<u32>(layer.weight / 4u) + min(j, vec4<u32>(layer.outputs - 1u)) * stride;
  let k = k0 / 4u + block / ACROSS;
  var x = vec4<f32>(0.0);
  var y = vec4<f32>(0.0);
  var z = vec4<f32>(0.0);
  var w = vec4<f32>(0.0);
  if k < stride {
    x = weight_at(base, at.x + k);
    y = weight_at(base, at.y + k);
    z = weight_at(base, at.z + k);
    w = weight_at(base, at.w + k);
  }
  put_block(B, block, x, y, z, w);
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
        if local < TILE {
          load_rows((base + layer.input) / 4u, padded(layer.inputs) / 4u, row, tall(rows), k0, local);
        } else if local < 2u * TILE {
          load_units(layer, base, col, k0, local - TILE);
        }
        workgroupBarrier();
        multiply(local, &sums0, &sums1, &sums2, &sums3);
        workgroupBarrier();
      }
      let i = row + 4u * (local / ACROSS);
      let j = col + 4u * (local % ACROSS);
      if i < tall(rows) && j < layer.outputs {
        finish_forward(layer, l, base, i, j, sums0);
        finish_forward(layer, l, base, i + 1u, j, sums1);
        finish_forward(layer, l, base, i + 2u, j, sums2);
        finish_forward(layer, l, base, i + 3u, j, sums3);
      }
    }
  }
}

fn finish_forward(layer: Layer, l: u32, base: u32, i: u32, j: u32, sums: vec4<f32>) {
  let wanted = vec4<u32>(j, j + 1u, j + 2u, j + 3u) < vec4<u32>(layer.outputs);
  let z = select(vec4<f32>(0.0), sums + bias_at(layer, j), wanted);
  let at = (base + i * padded(layer.outputs) + j) / 4u;
  if layer.stored != layer.output {
    set_vector_at(layer.stored / 4u + at, z);
  }
  set_vector_at(layer.output / 4u + at, select(vec4<f32>(0.0), activate(l, z), wanted));
}
