// The products of a step by cooperative matrices: C = A · B with A as [m, k], B as [k, n], C as [m, n].
const WORKGROUP: u32 = 4u * LANES;

// Element [i, k] of A, or [k, i] of B, lies at `first + i * row + k * term`.
struct Strides {
  first: u32,
  row: u32,
  term: u32,
}

// One product: which of a layer's it is, and what its kind needs to know of the slab.
struct Part {
  kind: u32,
  m: u32,
  n: u32,
  begin: u32,
  end: u32,
  a: Strides,
  b: Strides,
  layer: Layer,
  l: u32,
  base: u32,
  first: u32,
  rows: u32,
  gradients: u32,
  add: bool,
}

const FORWARD: u32 = 0u;
const GRADIENT: u32 = 1u;
const BACKWARD: u32 = 2u;

// What lies past an edge is 0. Neighbouring invocations read neighbouring memory: along the terms where those are neighbours.
fn load_strips(part: Part, row: u32, col: u32, k0: u32, local: u32) {
  for (var at = local; at < TILE * DEPTH; at += WORKGROUP) {
    let ai = select(at % TILE, at / DEPTH, part.a.term == 1u);
    let ak = select(at / TILE, at % DEPTH, part.a.term == 1u);
    var a = Stored(0.0);
    if row + ai < part.m && k0 + ak < part.end {
      a = scratch[part.a.first + (row + ai) * part.a.row + (k0 + ak) * part.a.term];
    }
    a_strip[ai * STRIDE + ak] = a;
    let bj = select(at % TILE, at / DEPTH, part.b.term == 1u);
    let bk = select(at / TILE, at % DEPTH, part.b.term == 1u);
    var b = Stored(0.0);
    if col + bj < part.n && k0 + bk < part.end {
      let b_at = part.b.first + (col + bj) * part.b.row + (k0 + bk) * part.b.term;
      if part.kind == GRADIENT {
        b = scratch[b_at];
      } else {
        b = weight_at(b_at);
      }
    }
    b_strip[bj * STRIDE + bk] = b;
  }
}

fn is_inside(part: Part, i: u32, j: u32) -> bool { return i < part.m && j < part.n; }

fn product(part: Part, local: u32) {
  for (var row = 0u; row < part.m; row += TILE) {
    for (var col = 0u; col < part.n; col += TILE) {
      tile(part, row, col, local);
    }
  }
}

// a = f(z) with z = Σ_k input[r, k] weight[j, k] + bias
fn forward(layer: Layer, l: u32, base: u32, rows: u32, local: u32) {
  let a = Strides(base + layer.input, padded(layer.inputs), 1u);
  let b = Strides(layer.weight, layer.inputs, 1u);
  product(Part(FORWARD, tall(rows), layer.outputs, 0u, layer.inputs, a, b, layer, l, base, 0u, rows, 0u, false), local);
}
