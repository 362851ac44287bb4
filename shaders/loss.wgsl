// row_loss[r] = loss_scale · Σ_j loss(y, t) and, in place of the output y as [rows, cols], the delta
// loss_scale · ∂loss/∂y · f′. An invocation writes no element that another one reads.
// Rows past the batch's end (entry.rows) give 0. dims: rows, cols, and 1 where the weight of a row stands behind its targets,
// else 0. LANES neighbouring invocations share a row.

@group(0) @binding(2) var<storage, read> clock: array<u32>;
@group(0) @binding(3) var<storage, read_write> output: array<Stored>;
@group(0) @binding(4) var<storage, read> target_rows: array<f32>;
@group(0) @binding(5) var<storage, read_write> row_loss: array<f32>;

var<workgroup> scratch: array<f32, 256>;

fn row_sum(local: u32, value: f32) -> f32 {
  scratch[local] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if local % LANES < half {
      scratch[local] += scratch[local + half];
    }
    workgroupBarrier();
  }
  let sum = scratch[local - local % LANES];
  workgroupBarrier();
  return sum;
}

fn row_max(local: u32, value: f32) -> f32 {
  scratch[local] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if local % LANES < half {
      scratch[local] = max(scratch[local], scratch[local + half]);
    }
    workgroupBarrier();
  }
  let largest = scratch[local - local % LANES];
  workgroupBarrier();
  return largest;
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let rows = u.dims.x;
  let cols = u.dims.y;
  let r = linear_workgroup(workgroup, count) * (256u / LANES) + local / LANES;
  let lane = local % LANES;
  let entry = schedule[min(clock[0], arrayLength(&schedule) - 1u)];
  let live = r < min(rows, entry.rows);
  let begin = r * cols;
  let target_begin = r * (cols + u.dims.z);
  let live_cols = select(0u, cols, live);

  var scale = entry.loss_scale;
  if live && u.dims.z > 0u {
    scale *= target_rows[target_begin + cols];
  }

  var row = Row(0.0, 0.0);
  if USES_SOFTMAX {
    var largest = -0x1.fffffep+127;
    for (var j = lane; j < live_cols; j += LANES) {
      largest = max(largest, f32(output[begin + j]));
    }
    largest = row_max(local, largest);
    var sum = 0.0;
    var target_sum = 0.0;
    for (var j = lane; j < live_cols; j += LANES) {
      sum += exp(f32(output[begin + j]) - largest);
      target_sum += target_rows[target_begin + j];
    }
    row = Row(largest + log(row_sum(local, sum)), row_sum(local, target_sum));
  }

  var loss = 0.0;
  for (var j = lane; j < live_cols; j += LANES) {
    let y = f32(output[begin + j]);
    let t = target_rows[target_begin + j];
    loss += loss_value(y, t, row);
    let derivative = scale * loss_derivative(y, t, row) * activation_derivative(stored_of(begin + j));
    output[begin + j] = Stored(delta_scale() * derivative);
  }
  let total = row_sum(local, loss);
  if r >= rows {
    return;
  }
  if lane == 0u {
    row_loss[r] = scale * total;
  }
  if !live {
    for (var j = lane; j < cols; j += LANES) {
      output[begin + j] = Stored(0.0);
    }
  }
}
