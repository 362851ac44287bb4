// flow = flow + beside, the derivative by what the layer puts out, and delta = flow ⊙ mask ⊙ f′. dims: rows, cols.
@group(0) @binding(3) var<storage, read_write> flow: array<f32>;
@group(0) @binding(4) var<storage, read_write> delta: array<f32>;
@group(0) @binding(6) var<storage, read> stored: array<f32>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = linear_workgroup(workgroup, count) * 256u + local;
  if i >= u.dims.x * u.dims.y {
    return;
  }
  let arriving = flow[i] + beside(i);
  flow[i] = arriving;
  delta[i] = arriving * mask(i) * activation_derivative(stored[i]);
}
