// δ = sum ⊙ f′, in place of what the forward pass stored for the derivative
@group(0) @binding(3) var<storage, read_write> c: array<f16>;

fn epilogue(i: u32, j: u32, sum: f32) {
  let at = i * u.dims.y + j;
  c[at] = f16(sum * activation_derivative(f32(c[at])));
}
