// δ = sum ⊙ f′
fn epilogue(i: u32, j: u32, sum: Element) {
  let at = (i * u.dims.y + j) / WIDTH;
  c[at] = to_operand(sum * derivative_of(stored_at(at)));
}
