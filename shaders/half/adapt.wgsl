// Halves the dynamic loss scale after an overflow and counts the step that was skipped; doubles it after GROWTH_INTERVAL
// steps without one. scaler: logarithm of the scale, steps since it changed, steps skipped.
fn adapt(overflowed: bool) {
  if overflowed {
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
