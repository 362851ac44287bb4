// Forward, loss and backward for a part of the batch, slab by slab: the part's loss and gradients go into partials, as
// [parts, gradients] and then one loss per part. dims: batch, rows of a part, and 1 where the weight of a
// row stands behind its targets, else 0.

// The loss of each invocation's rows, and whether one of its sums overflowed.
var<workgroup> results: array<vec2<f32>, WORKGROUP>;

// δ of the output layer, 0 in rows without a sample; returns the loss of the rows that this invocation has.
fn output_delta(base: u32, first: u32, rows: u32, entry: Schedule, local: u32) -> f32 {
  let last = layer_of(LAYERS - 1u);
  let stride = padded(OUTPUTS);
  var loss = 0.0;
  for (var r = local; r < tall(rows); r += WORKGROUP) {
    let y_at = base + last.output + r * stride;
    let stored_at = base + last.stored + r * stride;
    let delta_at = base + last.delta + r * stride;
    let alive = r < rows && first + r < entry.rows;
    let cols = select(0u, OUTPUTS, alive);
    let sample = sample_of(select(0u, first + r, alive), entry.first);
    var scale = entry.loss_scale;
    if u.dims.z > 0u {
      scale *= target_at(sample, OUTPUTS);
    }
    var row = Row(0.0, 0.0);
    if USES_SOFTMAX {
      var largest = -0x1.fffffep+127;
      for (var j = 0u; j < cols; j++) {
        largest = max(largest, element(y_at + j));
      }
      var sum = 0.0;
      var target_sum = 0.0;
      for (var j = 0u; j < cols; j++) {
        sum += exp(element(y_at + j) - largest);
        target_sum += target_at(sample, j);
      }
      row = Row(largest + log(sum), target_sum);
    }
    var row_loss = 0.0;
    for (var j = 0u; j < cols; j++) {
      let y = element(y_at + j);
      let t = target_at(sample, j);
      row_loss += loss_value(y, t, row);
      let slope = output_slope(element(stored_at + j));
      set_element(delta_at + j, delta_scale() * (scale * loss_derivative(y, t, row) * slope));
    }
    for (var j = cols; j < stride; j++) {
      set_element(delta_at + j, 0.0);
    }
    loss += scale * row_loss;
  }
  return loss;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let part = workgroup.x;
  let base = part * SCRATCH;
  let gradients = part * PARTIALS;
  let begin = part * u.dims.y;
  let end = min(begin + u.dims.y, u.dims.x);
  let entry = schedule[min(clock[0], arrayLength(&schedule) - 1u)];
  var loss = 0.0;
  prepare(base, local);
  for (var first = begin; first < end; first += SLAB) {
    let rows = min(SLAB, end - first);
    load(base, first, rows, entry.rows, entry.first, local);
    synchronize();
    for (var l = 0u; l < LAYERS; l++) {
      forward(layer_of(l), l, base, rows, local);
      synchronize();
    }
    loss += output_delta(base, first, rows, entry, local);
    synchronize();
    for (var l = LAYERS; l > LOWEST; l--) {
      let layer = layer_of(l - 1u);
      weight_gradient(layer, base, gradients, rows, first > begin, local);
      bias_gradient(layer, base, gradients, rows, first > begin, local);
      backward(layer, l - 1u, base, first, rows, local);
      synchronize();
    }
  }

  results[local] = vec2<f32>(loss, overflow());
  share();
  if local == 0u {
    var sum = vec2<f32>(0.0);
    for (var i = 0u; i < WORKGROUP; i++) {
      sum += results[i];
    }
    set_partial(count.x * PARTIALS + part, sum.x);
    report(count.x * (PARTIALS + 1u) + part, sum.y);
    for (var l = LOWEST; l < LAYERS; l++) {
      let layer = layer_of(l);
      if layer.shares_bias {
        var sum = 0.0;
        for (var j = 0u; j < layer.outputs; j++) {
          sum += get_partial(gradients + layer.bias_gradient + j);
        }
        set_partial(gradients + layer.bias_gradient, sum);
      }
    }
  }
}
