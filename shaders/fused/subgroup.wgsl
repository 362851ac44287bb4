// A workgroup is one subgroup.
const WORKGROUP: u32 = 8u;

// On a software rasteriser the lanes of a subgroup are those of one vector: what one has stored, the others see. A barrier
// would cut the program into coroutines, which takes almost half of its speed.
fn synchronize() {}
fn share() {}

// The inputs of a slab. Rows from `live` on, counted in the batch, are padding and become 0.
fn load(base: u32, first: u32, rows: u32, live: u32, order_first: u32, local: u32) {
  let stride = padded(INPUTS);
  for (var r = local; r < tall(rows); r += WORKGROUP) {
    let alive = r < rows && first + r < live;
    let sample = sample_of(select(0u, first + r, alive), order_first);
    let at = base + layer_of(0u).input + r * stride;
    // Not from a constant on, or Mesa would unroll the loop, which it compiles for a second then.
    for (var to = at; to < at + stride; to += 4u) {
      var x = vec4<f32>(0.0);
      if alive {
        x = inputs_at(sample, to - at);
      }
      set_vector(to, x);
    }
  }
}
