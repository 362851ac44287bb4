// One invocation per element.
const WORKGROUP: u32 = 64u;

// a = f(z) with z = Σ_k input[r, k] weight[j, k] + bias
fn forward(layer: Layer, l: u32, base: u32, rows: u32, local: u32) {
  let cols = padded(layer.outputs);
  for (var e = local; e < tall(rows) * cols; e += WORKGROUP) {
    let r = e / cols;
    let j = e % cols;
    var z = 0.0;
    if j < layer.outputs {
      let a = base + layer.input + r * padded(layer.inputs);
      for (var k = 0u; k < layer.inputs; k++) {
        z += element(a + k) * f32(weight_at(layer.weight + j * layer.inputs + k));
      }
      z += bias_of(layer, j);
    }
    set_element(base + layer.stored + e, z);
    set_element(base + layer.output + e, activate(l, z));
  }
}
