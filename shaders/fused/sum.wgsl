// The gradient of parameter first + i is the sum of the parts' gradients, in order, less the dynamic loss scale that they
// may carry. dims: parts, first, length.

fn gradient(at: u32) -> f32 {
  var sum = 0.0;
  var part = 0u;
  // Eight loads on their way at a time, their sum still in order.
  for (; part + 8u <= u.dims.x; part += 8u) {
    let i = part * PARTIALS + at;
    let x0 = partials[i];
    let x1 = partials[i + PARTIALS];
    let x2 = partials[i + 2u * PARTIALS];
    let x3 = partials[i + 3u * PARTIALS];
    let x4 = partials[i + 4u * PARTIALS];
    let x5 = partials[i + 5u * PARTIALS];
    let x6 = partials[i + 6u * PARTIALS];
    let x7 = partials[i + 7u * PARTIALS];
    sum = (((((((sum + x0) + x1) + x2) + x3) + x4) + x5) + x6) + x7;
  }
  for (; part < u.dims.x; part++) {
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
