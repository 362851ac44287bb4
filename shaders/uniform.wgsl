struct Uniform {
  dims: vec4<u32>,
  hyper: vec4<f32>,
}

@group(0) @binding(0) var<uniform> u: Uniform;

// Grids of more than 65,535 workgroups are folded into two dimensions; this is the workgroup's number in the whole.
fn linear_workgroup(id: vec3<u32>, count: vec3<u32>) -> u32 {
  return id.x + id.y * count.x;
}
