// a = f(z) with z = sum + bias
fn epilogue(i: u32, j: u32, sum: Element) {
  let at = (i * u.dims.y + j) / WIDTH;
  let z = sum + bias_of(j);
  keep(at, z);
  c[at] = to_operand(activation_of(z));
}
