// A workgroup is four subgroups and computes TILE×TILE elements, each subgroup a quarter, SIDE×SIDE, as SIZE×SIZE matrices.
// Strips of A and B, DEPTH deep, pass through workgroup memory: A's rows and B's columns are the strips' rows, STRIDE
// elements apart. What lies past an edge is 0 there, so that every matrix is whole.

// Neighbouring invocations read neighbouring memory: along k where a row of the operand runs along k.
fn load_strips(row: u32, col: u32, k0: u32, end: u32, local: u32) {
  for (var at = local; at < TILE * DEPTH; at += 4u * LANES) {
    let ai = select(at % TILE, at / DEPTH, A_ALONG_K);
    let ak = select(at / TILE, at % DEPTH, A_ALONG_K);
    a_strip[ai * STRIDE + ak] = a_of(row + ai, k0 + ak, end);
    let bj = select(at % TILE, at / DEPTH, B_ALONG_K);
    let bk = select(at / TILE, at % DEPTH, B_ALONG_K);
    b_strip[bj * STRIDE + bk] = b_of(k0 + bk, col + bj, end);
  }
}

// The epilogue of the matrix that the subgroup just stored, whose first element is C's [i0, j0].
fn finish(part: Part, subgroup: u32, lane: u32, i0: u32, j0: u32) {
  workgroupBarrier();
  for (var at = lane; at < SIZE * SIZE; at += LANES) {
    let i = i0 + at / SIZE;
    let j = j0 + at % SIZE;
    if i < u.dims.x && j < u.dims.y {
      epilogue(part.first_row + i, j, finished[subgroup * SIZE * SIZE + at]);
    }
  }
  workgroupBarrier();
}
