// squares[s] = Σ_k gradients[s + k strands]², in order: the parts of a squared norm. dims: length, strands.
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read_write> squares: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if id.x >= u.dims.y {
    return;
  }
  var sum = 0.0;
  for (var i = id.x; i < u.dims.x; i += u.dims.y) {
    sum += gradients[i] * gradients[i];
  }
  squares[id.x] = sum;
}
