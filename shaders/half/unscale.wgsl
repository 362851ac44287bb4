// gradients[i] /= scale over a run of the arena; overflow[0] becomes 1 where any is not finite. dims: length.

@group(0) @binding(1) var<storage, read> scaler: array<f32>;
@group(0) @binding(2) var<storage, read_write> overflow: array<atomic<u32>>;
@group(0) @binding(3) var<storage, read_write> gradients: array<f32>;

// By the bits of the exponent: compilers may take it that no number is NaN.
fn is_finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = linear_workgroup(workgroup, count) * 256u + local;
  if i >= u.dims.x {
    return;
  }
  let gradient = gradients[i] * inverse_scale();
  gradients[i] = gradient;
  if !is_finite(gradient) {
    atomicOr(&overflow[0], 1u);
  }
}
