// What every variant does alike. A slab's activations and deltas lie in the scratch memory of its part, one matrix after
// the other, their rows padded with zeros to a multiple of 4.

fn padded(width: u32) -> u32 { return (width + 3u) & ~3u; }

// The rows that are computed: whole tiles, the last ones without a sample.
fn tall(rows: u32) -> u32 { return (rows + 31u) & ~31u; }

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
