// The strip of A has nothing else to hold behind the tiles.
fn put_strand(at: u32, sum: Element) { a_strip[at] = sum; }
fn strand_at(at: u32) -> Element { return a_strip[at]; }
