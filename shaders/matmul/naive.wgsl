// One invocation per element: the specification of every faster variant.
@compute @workgroup_size(16, 16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y;
  let j = id.x;
  if i >= u.dims.x || j >= u.dims.y {
    return;
  }
  var sum = 0.0;
  for (var k = 0u; k < u.dims.z; k++) {
    sum = fma(a[a_at(i, k)], b[b_at(k, j)], sum);
  }
  epilogue(i, j, sum);
}
