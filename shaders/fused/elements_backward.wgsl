fn store_gradient(layer: Layer, gradients: u32, j: u32, k: u32, sum: f32, add: bool) {
  accumulate(gradients + layer.weight_gradient + j * padded(layer.inputs) + k, sum, add);
}

fn store_backward(layer: Layer, l: u32, base: u32, first: u32, rows: u32, i: u32, k: u32, sum: f32) {
  let at = base + i * padded(layer.inputs) + k;
  if l > 0u {
    set_element(layer.below + at, sum * derivative(l - 1u, element(layer.below_stored + at)));
  } else if i < rows {
    input_gradient_at(first + i, k, sum);
  }
}
