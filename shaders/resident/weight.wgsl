// The weight of a row, behind its targets, where there are such.
fn weight_at(i: u32) -> f32 {
  if u.dims.w == 0u {
    return 1.0;
  }
  return target_at(i);
}
