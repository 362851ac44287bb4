// δ = sum ⊙ f′, the derivative from what the forward pass stored
@group(0) @binding(6) var<storage, read> stored: array<f32>;

fn epilogue(i: u32, j: u32, sum: f32) {
  let at = i * u.dims.y + j;
  c[at] = sum * activation_derivative(stored[at]);
}
