@group(0) @binding(2) var<storage, read> clock: array<u32>;
@group(0) @binding(5) var<storage, read> running: array<f32>;

fn entry_of_step() -> Schedule { return schedule[min(clock[0], arrayLength(&schedule) - 1u)]; }

// Padding is no sample.
fn counted() -> u32 { return min(elements(), entry_of_step().rows); }

// Evaluation takes the running statistics. dims.z: where the variances begin.
fn taken(item: u32, found: vec2<f32>) -> vec2<f32> {
  if (entry_of_step().flags & TRAINING) == 0u {
    return vec2<f32>(running[item], running[u.dims.z + item]);
  }
  return found;
}
