// gradient[j, k] = Σ_r delta[r, j] input[r, k], added to that of the slabs before
fn weight_gradient(layer: Layer, base: u32, gradients: u32, rows: u32, add: bool, local: u32) {
  let cols = padded(layer.inputs);
  let count = select(0u, layer.outputs * layer.inputs, layer.wants_weight);
  for (var e = local; e < count; e += WORKGROUP) {
    let j = e / layer.inputs;
    let k = e % layer.inputs;
    var sum = 0.0;
    for (var r = 0u; r < rows; r++) {
      sum += element(base + layer.delta + r * padded(layer.outputs) + j) * element(base + layer.input + r * cols + k);
    }
    accumulate(gradients + layer.weight_gradient + j * cols + k, sum, add);
  }
}

// δ of the layer below, Σ_j delta[r, j] weight[j, k] ⊙ f′; below the first layer it is the input's gradient
fn backward(layer: Layer, l: u32, base: u32, first: u32, rows: u32, local: u32) {
  let cols = padded(layer.inputs);
  for (var e = local; e < select(0u, tall(rows) * cols, layer.wants_below); e += WORKGROUP) {
    let r = e / cols;
    let k = e % cols;
    var sum = 0.0;
    if k < layer.inputs {
      for (var j = 0u; j < layer.outputs; j++) {
        let weight = f32(weight_at(layer.weight + j * layer.inputs + k));
        sum += element(base + layer.delta + r * padded(layer.outputs) + j) * weight;
      }
    }
    if l > 0u {
      set_element(base + layer.below + e, sum * derivative(l - 1u, element(base + layer.below_stored + e)));
    } else if r < rows && k < layer.inputs {
      input_gradient_at(first + r, k, sum);
    }
  }
}
