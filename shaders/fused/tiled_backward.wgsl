// The bias gradients of four units, each in sixteen strands.
var<workgroup> strands: array<vec4<f32>, WORKGROUP>;

// gradient[j, k] = Σ_r delta[r, j] input[r, k] and that of the bias, Σ_r delta[r, j], added to those of the slabs before
fn weight_gradient(layer: Layer, base: u32, gradients: u32, rows: u32, add: bool, local: u32) {
  let x = local % ACROSS;
  let y = local / ACROSS;
  let depth = padded(layer.outputs) / 4u;
  let stride = padded(layer.inputs) / 4u;
  let cols = select(select(0u, 1u, layer.wants_bias), layer.inputs, layer.wants_weight);
  for (var row = 0u; row < layer.outputs; row += TILE) {
    for (var col = 0u; col < cols; col += TILE) {
      var sums0 = vec4<f32>(0.0);
      var sums1 = vec4<f32>(0.0);
      var sums2 = vec4<f32>(0.0);
      var sums3 = vec4<f32>(0.0);
      var strand = vec4<f32>(0.0);
      for (var r0 = 0u; r0 < tall(rows); r0 += DEPTH) {
        var delta = vec4<f32>(0.0);
        var input = vec4<f32>(0.0);
        // A padding row's input is 0, but not what it gives.
        let is_row = r0 + y < rows;
        if is_row && row / 4u + x < depth {
          delta = vector_at((base + layer.delta + row) / 4u + (r0 + y) * depth + x);
        }
        if is_row && col / 4u + x < stride {
          input = vector_at((base + layer.input + col) / 4u + (r0 + y) * stride + x);
        }
        strips[A + local] = vec4<Stored>(delta);
        strips[B + local] = vec4<Stored>(input);
        workgroupBarrier();
        multiply(local, &sums0, &sums1, &sums2, &sums3);
        // The invocations that have the same units take one term each.
        strand += vec4<f32>(strips[A + x * ACROSS + y]);
        workgroupBarrier();
      }
      let j = row + 4u * y;
      let k = col + 4u * x;
      if layer.wants_weight && k < layer.inputs {
        finish_gradient(layer, gradients, j, k, sums0, add);
        finish_gradient(layer, gradients, j + 1u, k, sums1, add);
        finish_gradient(layer, gradients, j + 2u, k, sums2, add);
        finish_gradient(layer, gradients, j + 3u, k, sums3, add);
      }
      strands[local] = strand;
      workgroupBarrier();
      if layer.wants_bias && col == 0u && x == 0u && j < layer.outputs {
        var sum = vec4<f32>(0.0);
        for (var s = 0u; s < ACROSS; s++) {
          sum += strands[local + s];
        }
        accumulate_vector(gradients + layer.bias_gradient + j, sum, add);
      }
    }
  }
}

fn finish_gradient(layer: Layer, gradients: u32, j: u32, k: u32, sums: vec4<f32>, add: bool) {
  if j < layer.outputs {
    accumulate_vector(gradients + layer.weight_gradient + j * padded(layer.inputs) + k, sums, add);
  }
}

// The product sums the deltas too.
fn bias_gradient(layer: Layer, base: u32, gradients: u32, rows: u32, add: bool, local: u32) {}

// By the number: behind the gradients, losses of different parts are neighbours, and whoever writes one number of a vector may
// write all of it.
fn accumulate_vector(at: u32, sum: vec4<f32>, add: bool) {
  accumulate(at, sum.x, add);
  accumulate(at + 1u, sum.y, add);
  accumulate(at + 2u, sum.z, add);
  accumulate(at + 3u, sum.w, add);
}

// δ of the layer below, Σ_j delta[r, j] weight[j, k] ⊙ f′; below the first layer it is the input's gradient
fn backward(layer: Layer, l: u32, base: u32, first: u32, rows: u32, local: u32) {
  let x = local % ACROSS;
  let y = local / ACROSS;
  let stride = padded(layer.inputs) / 4u;
  for (var row = 0u; row < select(0u, tall(rows), layer.wants_below); row += TILE) {
    for (var col = 0u; col < layer.inputs; col += TILE) {
      var sums0 = vec4<f32>(0.0);
      var sums1 = vec4<f32>(0.0);
      var sums2 = vec4<f32>(0.0);
      var sums3 = vec4<f32>(0.0);
      for (var j0 = 0u; j0 < layer.outputs; j0 += DEPTH) {
        if local < TILE {
          load_rows((base + layer.delta) / 4u, padded(layer.outputs) / 4u, row, tall(rows), j0, local);
        }
        var weights = vec4<f32>(0.0);
        if j0 + y < layer.outputs && col / 4u + x < stride {
          weights = weight_at(base, (layer.weight + col) / 4u + (j0 + y) * stride + x);
        }
        strips[B + local] = vec4<Stored>(weights);
        workgroupBarrier();
        multiply(local, &sums0, &sums1, &sums2, &sums3);
        workgroupBarrier();
      }
      let i = row + 4u * y;
      let k = col + 4u * x;
      if i < tall(rows) && k < layer.inputs {
        finish_backward(layer, l, base, first, rows, i, k, sums0);
        finish_backward(layer, l, base, first, rows, i + 1u, k, sums1);
        finish_backward(layer, l, base, first, rows, i + 2u, k, sums2);
        finish_backward(layer, l, base, first, rows, i + 3u, k, sums3);
      }
    }
  }
}

fn finish_backward(layer: Layer, l: u32, base: u32, first: u32, rows: u32, i: u32, k: u32, sums: vec4<f32>) {
  let at = (base + i * padded(layer.inputs) + k) / 4u;
  if l > 0u {
    set_vector_at(layer.below / 4u + at, sums * derivative(l - 1u, vector_at(layer.below_stored / 4u + at)));
  } else if i < rows {
    input_gradient_at(first + i, k, sums);
  }
}
