// params[i] = update(params[i], gradients[i]) over a run of the arena, by the optimizer's rule. dims: length.

@group(0) @binding(2) var<storage, read> clock: array<u32>;
@group(0) @binding(3) var<storage, read> gradients: array<Element>;
@group(0) @binding(4) var<storage, read_write> params: array<Element>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = linear_workgroup(workgroup, count) * 256u + local;
  if i >= u.dims.x / WIDTH || is_skipped() {
    return;
  }
  let rates = rates_of(schedule[min(clock[0], arrayLength(&schedule) - 1u)]);
  params[i] = update(i, params[i], gradients[i], rates);
}
