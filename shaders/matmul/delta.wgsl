// δ = sum ⊙ f′, the derivative from what the forward pass stored
@group(0) @binding(6) var<storage, read> stored: array<Element>;

fn epilogue(i: u32, j: u32, sum: Element) {
  let at = (i * u.dims.y + j) / WIDTH;
  c[at] = sum * derivative_of(stored[at]);
}
