// The last dispatch of an update. Halves the dynamic loss scale after an overflow and counts the step that was skipped;
// doubles it after GROWTH_INTERVAL steps without one. scaler: logarithm of the scale, steps since it changed, steps skipped.

@group(0) @binding(1) var<storage, read_write> scaler: array<f32>;
@group(0) @binding(2) var<storage, read_write> overflow: array<u32>;

@compute @workgroup_size(1)
fn main() {
  if overflow[0] != 0u {
    overflow[0] = 0u;
    scaler[0] = max(scaler[0] - 1.0, LEAST);
    scaler[1] = 0.0;
    scaler[2] += 1.0;
  } else if scaler[1] + 1.0 < GROWTH_INTERVAL {
    scaler[1] += 1.0;
  } else {
    scaler[0] = min(scaler[0] + 1.0, MOST);
    scaler[1] = 0.0;
  }
}
