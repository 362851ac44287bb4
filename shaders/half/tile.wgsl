// A workgroup is four subgroups and computes TILE×TILE elements, each subgroup a quarter, SIDE×SIDE, as SIZE×SIZE matrices.
// Strips of A and B, DEPTH deep, pass through workgroup memory: A's rows and B's columns are the strips' rows, STRIDE
// elements apart. What lies past an edge is 0 there, so that every matrix is whole.

// What becomes of the matrix that the subgroup just stored, whose first element is C's [i0, j0].
fn finish(part: Part, subgroup: u32, lane: u32, i0: u32, j0: u32) {
  workgroupBarrier();
  for (var at = lane; at < SIZE * SIZE; at += LANES) {
    let i = i0 + at / SIZE;
    let j = j0 + at % SIZE;
    if is_inside(part, i, j) {
      store(part, i, j, finished[subgroup * SIZE * SIZE + at]);
    }
  }
  workgroupBarrier();
}
