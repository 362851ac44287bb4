@group(0) @binding(4) var<storage, read_write> gradients: array<f32>;

fn apply(i: u32, gradient: f32) { gradients[i] = gradient; }
