// δ = sum ⊙ f′, in place of what the forward pass stored for the derivative
fn epilogue(i: u32, j: u32, sum: Element) {
  let at = (i * u.dims.y + j) / WIDTH;
  c[at] = sum * derivative_of(c[at]);
}
