// Neighbouring invocations read neighbouring vectors. A vector never reaches beyond an edge, since rows are whole vectors.
fn load_strips(part: Part, row: u32, col: u32, k0: u32, local: u32) {
  for (var at = local; at < TILE * DEPTH / 4u; at += 4u * LANES) {
    let ai = select(at % (TILE / 4u) * 4u, at / (DEPTH / 4u), A_ALONG_K);
    let ak = select(at / (TILE / 4u), at % (DEPTH / 4u) * 4u, A_ALONG_K);
    let a_step = select(STRIDE, 1u, A_ALONG_K);
    let a_values = a_of(row + ai, k0 + ak, part.end);
    let bj = select(at % (TILE / 4u) * 4u, at / (DEPTH / 4u), B_ALONG_K);
    let bk = select(at / (TILE / 4u), at % (DEPTH / 4u) * 4u, B_ALONG_K);
    let b_step = select(STRIDE, 1u, B_ALONG_K);
    let b_values = b_of(k0 + bk, col + bj, part.end);
    for (var e = 0u; e < 4u; e++) {
      a_strip[ai * STRIDE + ak + e * a_step] = a_values[e];
      b_strip[bj * STRIDE + bk + e * b_step] = b_values[e];
    }
  }
}

