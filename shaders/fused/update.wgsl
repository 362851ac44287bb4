@group(0) @binding(2) var<storage, read> clock: array<u32>;
@group(0) @binding(4) var<storage, read_write> params: array<f32>;

fn apply(i: u32, gradient: f32) {
  let rates = rates_of(schedule[min(clock[0], arrayLength(&schedule) - 1u)]);
  params[i] = update(i, params[i], gradient, rates);
}
