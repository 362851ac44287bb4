// losses[clock] = Σ row_loss, then the clock advances: this is the last dispatch of a step. dims: rows. One workgroup. A
// Total may carry more than the loss, of which `conclude` makes what it has to.

@group(0) @binding(1) var<storage, read> row_loss: array<f32>;
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;
@group(0) @binding(3) var<storage, read_write> clock: array<u32>;

var<workgroup> scratch: array<Total, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = Total();
  var r = lane;
  // Four loads on their way at a time, their sum still in order.
  for (; r + 3u * LANES < u.dims.x; r += 4u * LANES) {
    let x0 = total_of(r);
    let x1 = total_of(r + LANES);
    let x2 = total_of(r + 2u * LANES);
    let x3 = total_of(r + 3u * LANES);
    sum = (((sum + x0) + x1) + x2) + x3;
  }
  for (; r < u.dims.x; r += LANES) {
    sum += total_of(r);
  }
  scratch[lane] = sum;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if lane < half {
      scratch[lane] += scratch[lane + half];
    }
    workgroupBarrier();
  }
  if lane == 0u {
    let step = clock[0];
    losses[step % arrayLength(&losses)] = conclude(scratch[0]);
    clock[0] = step + 1u;
  }
}
