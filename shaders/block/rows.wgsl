// Over the units, for each sample: item is a row. LANES neighbouring invocations share it.
const NEXT_LANE: u32 = 1u;
fn item_of(local: u32) -> u32 { return local / LANES; }
fn lane_of(local: u32) -> u32 { return local % LANES; }
fn items() -> u32 { return u.dims.x; }
fn elements() -> u32 { return u.dims.y; }
fn place(item: u32, i: u32) -> u32 { return item * u.dims.y + i; }
fn item_at(index: u32) -> u32 { return index / u.dims.y; }
