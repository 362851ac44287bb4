// What every variant does alike. A slab's activations and deltas lie in the scratch memory of its part, one matrix after
// the other, their rows padded with zeros to a multiple of 4.

fn padded(width: u32) -> u32 { return (width + 3u) & ~3u; }

// The rows that are computed: whole tiles, the last ones without a sample.
fn tall(rows: u32) -> u32 { return (rows + 31u) & ~31u; }
