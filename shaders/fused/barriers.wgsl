// A workgroup is many invocations.
fn synchronize() { storageBarrier(); }
fn share() { workgroupBarrier(); }

// The inputs of a slab, neighbouring invocations by neighbouring vectors. Rows from `live` on, counted in the batch, are padding
// and become 0.
fn load(base: u32, first: u32, rows: u32, live: u32, order_first: u32, local: u32) {
  let stride = padded(INPUTS) / 4u;
  for (var i = local; i < tall(rows) * stride; i += WORKGROUP) {
    let r = i / stride;
    let alive = r < rows && first + r < live;
    let sample = sample_of(select(0u, first + r, alive), order_first);
    var x = vec4<f32>(0.0);
    if alive {
      x = inputs_at(sample, 4u * (i % stride));
    }
    set_vector(base + layer_of(0u).input + 4u * i, x);
  }
}
