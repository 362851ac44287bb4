// Neighbouring invocations read neighbouring memory: along k where a row of the operand runs along k.
fn load_strips(part: Part, row: u32, col: u32, k0: u32, local: u32) {
  for (var at = local; at < TILE * DEPTH; at += 4u * LANES) {
    let ai = select(at % TILE, at / DEPTH, A_ALONG_K);
    let ak = select(at / TILE, at % DEPTH, A_ALONG_K);
    a_strip[ai * STRIDE + ak] = a_of(row + ai, k0 + ak, part.end);
    let bj = select(at % TILE, at / DEPTH, B_ALONG_K);
    let bk = select(at / TILE, at % DEPTH, B_ALONG_K);
    b_strip[bj * STRIDE + bk] = b_of(k0 + bk, col + bj, part.end);
  }
}

