// Whether a gradient of any part overflowed, which the parts report behind their losses.
fn is_skipped() -> bool {
  for (var part = 0u; part < u.dims.x; part++) {
    if partials[u.dims.x * (PARTIALS + 1u) + part] > 0.0 {
      return true;
    }
  }
  return false;
}
