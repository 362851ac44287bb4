// gradient[j, k] = Σ_r delta[r, j] input[r, k], added to that of the slabs before
fn weight_gradient(layer: Layer, base: u32, gradients: u32, rows: u32, add: bool, local: u32) {
  for (var row = 0u; row < select(0u, layer.outputs, layer.wants_weight); row += TILE) {
    for (var col = 0u; col < layer.inputs; col += TILE) {
      var sums0 = vec4<f32>(0.0);
      var sums1 = vec4<f32>(0.0);
      var sums2 = vec4<f32>(0.0);
      var sums3 = vec4<f32>(0.0);
      for (var k0 = 0u; k0 < rows; k0 += DEPTH) {
        for (var r = 0u; r < 4u; r++) {
          let i = local % TILE;
          let k = local / TILE + 4u * r;
          var delta = Stored(0.0);
          var input = Stored(0.0);
          if k0 + k < rows && row + i < layer.outputs {
            delta = scratch[base + layer.delta + (k0 + k) * padded(layer.outputs) + row + i];
          }
          if k0 + k < rows && col + i < layer.inputs {
            input = scratch[base + layer.input + (k0 + k) * padded(layer.inputs) + col + i];
          }
          a_strip[k * TILE + i] = delta;
          b_strip[k * TILE + i] = input;
        }
        turn(local, &sums0, &sums1, &sums2, &sums3);
      }
      let j = row + local / 16u;
      let k = col + local % 16u;
      finish_gradient(layer, gradients, j, k, sums0, add);
      finish_gradient(layer, gradients, j + 16u, k, sums1, add);
      finish_gradient(layer, gradients, j + 32u, k, sums2, add);
      finish_gradient(layer, gradients, j + 48u, k, sums3, add);
    }
  }
}

fn finish_gradient(layer: Layer, gradients: u32, j: u32, col: u32, sums: vec4<f32>, add: bool) {
  for (var e = 0u; e < 4u; e++) {
    let k = col + 16u * e;
    if j < layer.outputs && k < layer.inputs {
      store_gradient(layer, gradients, j, k, sums[e], add);
    }
  }
}

// δ of the layer below, Σ_j delta[r, j] weight[j, k] ⊙ f′; below the first layer it is the input's gradient
fn backward(layer: Layer, l: u32, base: u32, first: u32, rows: u32, local: u32) {
  for (var row = 0u; row < select(0u, tall(rows), layer.wants_below); row += TILE) {
    for (var col = 0u; col < layer.inputs; col += TILE) {
      var sums0 = vec4<f32>(0.0);
      var sums1 = vec4<f32>(0.0);
      var sums2 = vec4<f32>(0.0);
      var sums3 = vec4<f32>(0.0);
      for (var k0 = 0u; k0 < layer.outputs; k0 += DEPTH) {
        load_rows(base + layer.delta, padded(layer.outputs), row, tall(rows), k0, layer.outputs, local);
        for (var r = 0u; r < 4u; r++) {
          let j = local % TILE;
          let k = local / TILE + 4u * r;
          var value = Stored(0.0);
          if col + j < layer.inputs && k0 + k < layer.outputs {
            value = weight_at(layer.weight + (k0 + k) * layer.inputs + col + j);
          }
          b_strip[k * TILE + j] = value;
        }
        turn(local, &sums0, &sums1, &sums2, &sums3);
      }
      let i = row + local / 16u;
      let k = col + local % 16u;
      finish_backward(layer, l, base, first, rows, i, k, sums0);
      finish_backward(layer, l, base, first, rows, i + 16u, k, sums1);
      finish_backward(layer, l, base, first, rows, i + 32u, k, sums2);
      finish_backward(layer, l, base, first, rows, i + 48u, k, sums3);
    }
  }
}

fn finish_backward(layer: Layer, l: u32, base: u32, first: u32, rows: u32, i: u32, col: u32, sums: vec4<f32>) {
  for (var e = 0u; e < 4u; e++) {
    let k = col + 16u * e;
    if i < tall(rows) && k < layer.inputs {
      store_backward(layer, l, base, first, rows, i, k, sums[e]);
    }
  }
}
