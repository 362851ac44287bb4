// δ = sum ⊙ f′, the derivative from what the forward pass stored
@group(0) @binding(3) var<storage, read_write> c: array<f16>;
@group(0) @binding(6) var<storage, read> stored: array<f16>;

fn epilogue(i: u32, j: u32, sum: f32) {
  let at = i * u.dims.y + j;
  c[at] = f16(sum * activation_derivative(f32(stored[at])));
}
