// Whether a gradient of any part overflowed, which the parts report behind their losses.
fn is_skipped() -> bool {
  let first = u.dims.x * (PARTIALS + 1u);
  var most = 0.0;
  var part = 0u;
  // Four loads on their way at a time.
  for (; part + 4u <= u.dims.x; part += 4u) {
    let i = first + part;
    most = max(most, max(max(partials[i], partials[i + 1u]), max(partials[i + 2u], partials[i + 3u])));
  }
  for (; part < u.dims.x; part++) {
    most = max(most, partials[first + part]);
  }
  return most > 0.0;
}
