// c ← update(c, sum): the sums are the gradient of the weight c, which is stored nowhere. Behind the weight, at the next
// multiple of ALIGNMENT, lies the bias, whose gradient is the sum of each column of a. Workgroups behind the last tile of
// each row of tiles update it.

@group(0) @binding(2) var<storage, read> clock: array<u32>;
@group(0) @binding(4) var<storage, read_write> c: array<Operand>;
@group(0) @binding(7) var<storage, read> a: array<Operand>;
@group(0) @binding(8) var<storage, read> b: array<Operand>;

var<private> rates: vec3<f32>;

fn is_behind(id: vec3<u32>, count: vec3<u32>) -> bool { return HAS_BIAS && id.x + 1u == count.x; }

// Rows of workgroups are folded into the third dimension where there are more than 65,535.
fn part_of(id: vec3<u32>, count: vec3<u32>) -> Part {
  rates = rates_of(schedule[min(clock[0], arrayLength(&schedule) - 1u)]);
  return Part(id.y + id.z * count.y, 0u, select(u.dims.z, 0u, is_behind(id, count)), 0u);
}

// Of columns i .. of a, as many as an Element holds.
fn update_bias(i: u32, gradient: Element) {
  let bias = (u.dims.x * u.dims.y + ALIGNMENT - 1u) / ALIGNMENT * ALIGNMENT;
  let at = (bias + i) / WIDTH;
  c[at] = to_operand(update(at, operand(c[at]), gradient, rates));
}

fn epilogue(i: u32, j: u32, sum: Element) {
  let at = (i * u.dims.y + j) / WIDTH;
  c[at] = to_operand(update(at, operand(c[at]), sum, rates));
}
