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
    var k = local / columns;
    // Four loads on their way at a time, their sum still in order.
    for (; k + 3u * strands < u.dims.z; k += 4u * strands) {
      let x0 = operand(a[(k * u.dims.x + i) / WIDTH]);
      let x1 = operand(a[((k + strands) * u.dims.x + i) / WIDTH]);
      let x2 = operand(a[((k + 2u * strands) * u.dims.x + i) / WIDTH]);
      let x3 = operand(a[((k + 3u * strands) * u.dims.x + i) / WIDTH]);
      gradient = (((gradient + x0) + x1) + x2) + x3;
    }
    for (; k < u.dims.z; k += strands) {
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
