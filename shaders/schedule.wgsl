// What differs from step to step. The host writes a whole epoch of entries; `clock[0]` counts the steps on the device.
struct Schedule {
  learning_rate: f32,
  first_correction: f32,
  second_correction: f32,
  loss_scale: f32,
  rows: u32,
  first: u32,
  seed: u32,
  flags: u32,
}

fn rates_of(entry: Schedule) -> vec3<f32> {
  return vec3<f32>(entry.learning_rate, entry.first_correction, entry.second_correction);
}

@group(0) @binding(1) var<storage, read> schedule: array<Schedule>;
