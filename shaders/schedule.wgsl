// What differs from step to step. The host writes a whole epoch of entries; `clock[0]` counts the steps on the device.
struct Schedule {
  learning_rate: f32,
  loss_scale: f32,
  rows: u32,
  first: u32,
}

@group(0) @binding(1) var<storage, read> schedule: array<Schedule>;
