// sums[item] = Σ δ w x̂ and sums[dims.z + item] = Σ δ w, with w the scale for rows and 1 for columns, where the sums are the
// gradients of scale and shift. dims: rows, cols, where the second sums begin.
@group(0) @binding(1) var<storage, read> delta: array<f32>;
@group(0) @binding(2) var<storage, read> normal: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = linear_workgroup(workgroup, count) * ITEMS + item_of(local);
  let lane = lane_of(local);
  let n = select(0u, elements(), item < items());
  var along = 0.0;
  var plain = 0.0;
  for (var i = lane; i < n; i += LANES) {
    let at = place(item, i);
    let weighted = delta[at] * weight(at % u.dims.y);
    along += weighted * normal[at];
    plain += weighted;
  }
  along = total(local, along);
  plain = total(local, plain);
  if item < items() && lane == 0u {
    sums[item] = along;
    sums[u.dims.z + item] = plain;
  }
}
