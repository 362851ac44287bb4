// Over the samples, for each unit: item is a column. Neighbouring invocations have neighbouring columns.
const NEXT_LANE: u32 = ITEMS;
fn item_of(local: u32) -> u32 { return local % ITEMS; }
fn lane_of(local: u32) -> u32 { return local / ITEMS; }
fn items() -> u32 { return u.dims.y; }
fn elements() -> u32 { return u.dims.x; }
fn place(item: u32, i: u32) -> u32 { return i * u.dims.y + item; }
fn item_at(index: u32) -> u32 { return index % u.dims.y; }
