@group(0) @binding(2) var<storage, read_write> clock: array<u32>;
@group(0) @binding(6) var<storage, read_write> params: array<f32>;
@group(0) @binding(7) var<storage, read_write> losses: array<f32>;
