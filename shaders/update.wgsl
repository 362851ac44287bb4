// params[i] = update(params[i], gradients[i]) over a run of the arena, by the optimizer's rule; an invocation takes TURNS of
// them, a workgroup apart. dims: length.

@group(0) @binding(2) var<storage, read> clock: array<u32>;
@group(0) @binding(3) var<storage, read> gradients: array<Element>;
@group(0) @binding(4) var<storage, read_write> params: array<Element>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let first = linear_workgroup(workgroup, count) * 256u * TURNS + local;
  if first >= u.dims.x / WIDTH || is_skipped() {
    return;
  }
  let rates = rates_of(schedule[min(clock[0], arrayLength(&schedule) - 1u)]);
  for (var i = first; i < min(first + 256u * TURNS, u.dims.x / WIDTH); i += 256u) {
    params[i] = update(i, params[i], gradients[i], rates);
  }
}
