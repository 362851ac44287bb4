var<workgroup> scratch: array<f32, 256>;

// The sum of the parts of all lanes of an item, in a fixed order.
fn total(local: u32, part: f32) -> f32 {
  scratch[local] = part;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if lane_of(local) < half {
      scratch[local] += scratch[local + half * NEXT_LANE];
    }
    workgroupBarrier();
  }
  let sum = scratch[local - lane_of(local) * NEXT_LANE];
  workgroupBarrier();
  return sum;
}
