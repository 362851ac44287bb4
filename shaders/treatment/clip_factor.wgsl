// With the norm √Σ squares of a gradient: clip[0] = min(1, limit / (norm + 10⁻⁶)), by which it is not longer than limit, or 1
// where the norm is NaN, and clip[1] = norm. One workgroup. dims: count. hyper: limit.
@group(0) @binding(1) var<storage, read> squares: array<f32>;
@group(0) @binding(2) var<storage, read_write> clip: array<f32>;

var<workgroup> scratch: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  var i = lane;
  // Four loads on their way at a time, their sum still in order.
  for (; i + 3u * LANES < u.dims.x; i += 4u * LANES) {
    let x0 = squares[i];
    let x1 = squares[i + LANES];
    let x2 = squares[i + 2u * LANES];
    let x3 = squares[i + 3u * LANES];
    sum = (((sum + x0) + x1) + x2) + x3;
  }
  for (; i < u.dims.x; i += LANES) {
    sum += squares[i];
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
    let norm = sqrt(scratch[0]);
    let factor = u.hyper.x / (norm + 1e-6);
    // NaN is no factor: it would spread from its gradient to all others, and to the padding, which nobody clears.
    clip[0] = select(1.0, factor, factor < 1.0);
    clip[1] = norm;
  }
}
