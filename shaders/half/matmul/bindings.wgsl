// c = epilogue(A · B) with A as [m, k], B as [k, n], c as [m, n]; dims: m, n, k. Operands are f16, sums f32. How A and B lie
// in memory is the form's business, what happens to a sum before it is stored the epilogue's.

@group(0) @binding(1) var<storage, read> a: array<Operand>;
@group(0) @binding(2) var<storage, read> b: array<Operand>;

// Elements past an edge, and past the part's end, are 0, so that tiles may reach beyond it.
fn a_of(i: u32, k: u32, end: u32) -> Operand {
  if i < u.dims.x && k < end {
    return a[a_at(i, k) / OPERAND_WIDTH];
  }
  return Operand(0.0);
}

fn b_of(k: u32, j: u32, end: u32) -> Operand {
  if j < u.dims.y && k < end {
    return b[(first_of_b() + b_at(k, j)) / OPERAND_WIDTH];
  }
  return Operand(0.0);
}
