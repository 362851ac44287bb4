// The sums of slices have nothing else to hold behind the tiles.
fn put_strand(at: u32, sum: Element) { sums[at] = vec4<f32>(sum); }
fn strand_at(at: u32) -> Element { return sum_at(at, 0u); }
