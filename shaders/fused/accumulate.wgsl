// A part's gradient of a slab, added to that of the slabs before.
fn accumulate(at: u32, sum: f32, add: bool) {
  let total = select(0.0, partials[at], add) + sum;
  partials[at] = total;
  watch(total);
}
