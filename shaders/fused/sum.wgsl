// The gradient of parameter first + i is the sum of the parts' gradients, in order, less the dynamic loss scale that they
// may carry. dims: parts, first, length.

fn gradient(at: u32) -> f32 {
  var sum = 0.0;
  for (var part = 0u; part < u.dims.x; part++) {
    sum += partials[part * PARTIALS + at];
  }
  return sum * inverse_scale();
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = linear_workgroup(workgroup, count) * 64u + local;
  if i >= u.dims.z {
    return;
  }
  let at = partial_of(u.dims.y + i);
  if at < PARTIALS && !is_skipped() {
    apply(u.dims.y + i, gradient(at));
  }
}
