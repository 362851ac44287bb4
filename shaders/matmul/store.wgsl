fn epilogue(i: u32, j: u32, sum: Element) {
  c[(i * u.dims.y + j) / WIDTH] = to_operand(sum);
}
