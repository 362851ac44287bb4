// squares[s] = Σ_k gradients[s + k strands]², in order: the parts of a squared norm. dims: length, strands.
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read_write> squares: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if id.x >= u.dims.y {
    return;
  }
  var sum = 0.0;
  var i = id.x;
  let strands = u.dims.y;
  // Four loads on their way at a time, their sum still in order.
  for (; i + 3u * strands < u.dims.x; i += 4u * strands) {
    let x0 = gradients[i];
    let x1 = gradients[i + strands];
    let x2 = gradients[i + 2u * strands];
    let x3 = gradients[i + 3u * strands];
    sum = (((sum + x0 * x0) + x1 * x1) + x2 * x2) + x3 * x3;
  }
  for (; i < u.dims.x; i += strands) {
    sum += gradients[i] * gradients[i];
  }
  squares[id.x] = sum;
}
