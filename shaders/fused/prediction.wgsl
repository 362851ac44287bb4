// The forward pass of a network for a part of the batch, slab by slab: output = f(… f(input)). dims: batch, rows of a part.

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let begin = workgroup.x * u.dims.y;
  let end = min(begin + u.dims.y, u.dims.x);
  let base = workgroup.x * SCRATCH;
  prepare(base, local);
  for (var first = begin; first < end; first += SLAB) {
    let rows = min(SLAB, end - first);
    load(base, first, rows, end, 0u, local);
    synchronize();
    for (var l = 0u; l < LAYERS; l++) {
      forward(layer_of(l), l, base, rows, local);
      synchronize();
    }
    let last = layer_of(LAYERS - 1u);
    for (var i = local; i < rows * OUTPUTS; i += WORKGROUP) {
      output[first * OUTPUTS + i] = element(base + last.output + (i / OUTPUTS) * padded(OUTPUTS) + i % OUTPUTS);
    }
    synchronize();
  }
}
