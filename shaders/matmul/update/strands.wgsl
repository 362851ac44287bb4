// All invocations share the columns: as many strands as there are invocations for one sum its rows, each taking turns with the
// others, and are then added up in their order. A sum in turn would take longer than all tiles beside it.
fn behind_tiles(id: vec3<u32>, count: vec3<u32>, first: u32, rows: u32, local: u32, invocations: u32) {
  if !is_behind(id, count) {
    return;
  }
  let columns = rows / WIDTH;
  let strands = invocations / columns;
  let i = first + local % columns * WIDTH;
  var gradient = Element(0.0);
  if i < u.dims.x {
    for (var k = local / columns; k < u.dims.z; k += strands) {
      gradient += operand(a[(k * u.dims.x + i) / WIDTH]);
    }
  }
  put_strand(local, gradient);
  workgroupBarrier();
  if local < columns && i < u.dims.x {
    for (var strand = 1u; strand < strands; strand++) {
      gradient += strand_at(strand * columns + local);
    }
    update_bias(i, gradient);
  }
  // What follows may write where the strands lie.
  workgroupBarrier();
}
