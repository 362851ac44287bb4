@group(0) @binding(2) var<storage, read_write> clock: array<u32>;
@group(0) @binding(6) var<storage, read> params: array<f32>;
@group(0) @binding(7) var<storage, read_write> losses: array<f32>;
@group(0) @binding(8) var<storage, read_write> gradients: array<f32>;
@group(0) @binding(9) var<storage, read_write> input_gradient: array<f32>;
