// What becomes of an element of a product.

fn store_forward(layer: Layer, l: u32, base: u32, i: u32, j: u32, sum: f32) {
  let at = base + i * padded(layer.outputs) + j;
  let z = sum + bias_of(layer, j);
  set_element(layer.stored + at, z);
  set_element(layer.output + at, activate(l, z));
}
