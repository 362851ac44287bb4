fn store(part: Part, i: u32, j: u32, sum: f32) {
  switch part.kind {
    case FORWARD: { store_forward(part.layer, part.l, part.base, i, j, sum); }
    case GRADIENT: { store_gradient(part.layer, part.gradients, i, j, sum, part.add); }
    default: { store_backward(part.layer, part.l, part.base, part.first, part.rows, i, j, sum); }
  }
}

// gradient[j, k] = Σ_r delta[r, j] input[r, k], added to that of the slabs before
fn weight_gradient(layer: Layer, base: u32, gradients: u32, rows: u32, add: bool, local: u32) {
  let a = Strides(base + layer.delta, 1u, padded(layer.outputs));
  let b = Strides(base + layer.input, 1u, padded(layer.inputs));
  let m = select(0u, layer.outputs, layer.wants_weight);
  product(Part(GRADIENT, m, layer.inputs, 0u, rows, a, b, layer, 0u, base, 0u, rows, gradients, add), local);
}

// δ of the layer below, Σ_j delta[r, j] weight[j, k] ⊙ f′; below the first layer it is the input's gradient
fn backward(layer: Layer, l: u32, base: u32, first: u32, rows: u32, local: u32) {
  let a = Strides(base + layer.delta, padded(layer.outputs), 1u);
  let b = Strides(layer.weight, 1u, layer.inputs);
  let m = select(0u, tall(rows), layer.wants_below);
  product(Part(BACKWARD, m, layer.inputs, 0u, layer.outputs, a, b, layer, l, base, first, rows, 0u, false), local);
}
