// Operands number by number. What lies beyond the last row or column is read as that one, and its sums are stored nowhere;
// terms beyond the end are 0.
fn a_term(i: u32, k: u32, end: u32) -> vec4<f32> {
  let last = u.dims.x - 1u;
  let term = min(k, end - 1u);
  let values = vec4<f32>(
    a_value(min(i, last), term),
    a_value(min(i + 1u, last), term),
    a_value(min(i + 2u, last), term),
    a_value(min(i + 3u, last), term));
  return select(vec4<f32>(0.0), values, k < end);
}

fn b_term(k: u32, j: u32, end: u32) -> vec4<f32> {
  let last = u.dims.y - 1u;
  let term = min(k, end - 1u);
  let values = vec4<f32>(
    b_value(term, min(j, last)),
    b_value(term, min(j + 1u, last)),
    b_value(term, min(j + 2u, last)),
    b_value(term, min(j + 3u, last)));
  return select(vec4<f32>(0.0), values, k < end);
}

fn a_block(i: u32, k: u32, end: u32) -> Block {
  return Block(a_term(i, k, end), a_term(i, k + 1u, end), a_term(i, k + 2u, end), a_term(i, k + 3u, end));
}

fn b_block(k: u32, j: u32, end: u32) -> Block {
  return Block(b_term(k, j, end), b_term(k + 1u, j, end), b_term(k + 2u, j, end), b_term(k + 3u, j, end));
}

fn sum_at(place: u32, element: u32) -> Element { return sums[place][element % 4u]; }
