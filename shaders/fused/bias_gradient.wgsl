// gradient[j] = Σ_r delta[r, j], added to that of the slabs before
fn bias_gradient(layer: Layer, base: u32, gradients: u32, rows: u32, add: bool, local: u32) {
  for (var j = local; j < select(0u, layer.outputs, layer.wants_bias); j += WORKGROUP) {
    var sum = 0.0;
    for (var r = 0u; r < rows; r++) {
      sum += element(base + layer.delta + r * padded(layer.outputs) + j);
    }
    accumulate(gradients + layer.bias_gradient + j, sum, add);
  }
}
