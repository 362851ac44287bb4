// running ← running + momentum (found - running), of the mean and of the unbiased variance. dims: cols, where the running
// variances begin.
@group(0) @binding(2) var<storage, read> clock: array<u32>;
@group(0) @binding(3) var<storage, read> statistics: array<f32>;
@group(0) @binding(4) var<storage, read_write> running: array<f32>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let unit = linear_workgroup(workgroup, count) * 256u + local;
  if unit >= u.dims.x {
    return;
  }
  let rows = schedule[min(clock[0], arrayLength(&schedule) - 1u)].rows;
  let variance = statistics[u.dims.x + unit] * (f32(rows) / f32(max(rows, 2u) - 1u));
  running[unit] += MOMENTUM * (statistics[unit] - running[unit]);
  let at = u.dims.y + unit;
  running[at] += MOMENTUM * (variance - running[at]);
}
