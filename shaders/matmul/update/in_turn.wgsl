// Each invocation sums its columns from the first row to the last.
fn behind_tiles(id: vec3<u32>, count: vec3<u32>, first: u32, rows: u32, local: u32, invocations: u32) {
  let end = select(first, min(first + rows, u.dims.x), is_behind(id, count));
  for (var i = first + local * WIDTH; i < end; i += invocations * WIDTH) {
    var gradient = Element(0.0);
    var k = 0u;
    // Four loads on their way at a time, their sum still in order.
    for (; k + 4u <= u.dims.z; k += 4u) {
      let x0 = operand(a[(k * u.dims.x + i) / WIDTH]);
      let x1 = operand(a[((k + 1u) * u.dims.x + i) / WIDTH]);
      let x2 = operand(a[((k + 2u) * u.dims.x + i) / WIDTH]);
      let x3 = operand(a[((k + 3u) * u.dims.x + i) / WIDTH]);
      gradient = (((gradient + x0) + x1) + x2) + x3;
    }
    for (; k < u.dims.z; k++) {
      gradient += operand(a[(k * u.dims.x + i) / WIDTH]);
    }
    update_bias(i, gradient);
  }
}
