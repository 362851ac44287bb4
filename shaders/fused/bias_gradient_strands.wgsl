// gradient[j] = Σ_r delta[r, j], added to that of the slabs before. As many invocations as there are for a unit share its rows:
// one alone would take longer than the products do. Their sums lie where finished matrices do.
fn bias_gradient(layer: Layer, base: u32, gradients: u32, rows: u32, add: bool, local: u32) {
  for (var first = 0u; first < select(0u, layer.outputs, layer.wants_bias); first += WORKGROUP) {
    let units = min(layer.outputs - first, WORKGROUP);
    let count = WORKGROUP / units;
    let j = first + local % units;
    let strand = local / units;
    var sum = 0.0;
    for (var r = select(rows, strand, strand < count); r < rows; r += count) {
      sum += element(base + layer.delta + r * padded(layer.outputs) + j);
    }
    workgroupBarrier();
    finished[local] = sum;
    workgroupBarrier();
    if strand == 0u {
      for (var s = 1u; s < count; s++) {
        sum += finished[local + s * units];
      }
      accumulate(gradients + layer.bias_gradient + j, sum, add);
    }
  }
  workgroupBarrier();
}
