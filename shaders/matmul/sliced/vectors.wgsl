// Operands by vectors of four. What lies beyond the last row or column is read as that one, and its sums are stored nowhere;
// terms beyond the end are 0.
fn transposed(x: vec4<f32>, y: vec4<f32>, z: vec4<f32>, w: vec4<f32>) -> Block {
  return Block(
    vec4<f32>(x.x, y.x, z.x, w.x),
    vec4<f32>(x.y, y.y, z.y, w.y),
    vec4<f32>(x.z, y.z, z.z, w.z),
    vec4<f32>(x.w, y.w, z.w, w.w));
}

fn a_block(i: u32, k: u32, end: u32) -> Block {
  if A_ALONG_K {
    let last = u.dims.x - 1u;
    return transposed(
      a[a_at(min(i, last), k) / 4u],
      a[a_at(min(i + 1u, last), k) / 4u],
      a[a_at(min(i + 2u, last), k) / 4u],
      a[a_at(min(i + 3u, last), k) / 4u]);
  }
  let rows = min(i, u.dims.x - 4u);
  let term = min(vec4<u32>(k, k + 1u, k + 2u, k + 3u), vec4<u32>(end - 1u));
  let none = vec4<f32>(0.0);
  return Block(
    a[a_at(rows, term.x) / 4u],
    select(none, a[a_at(rows, term.y) / 4u], k + 1u < end),
    select(none, a[a_at(rows, term.z) / 4u], k + 2u < end),
    select(none, a[a_at(rows, term.w) / 4u], k + 3u < end));
}

fn b_block(k: u32, j: u32, end: u32) -> Block {
  if B_ALONG_K {
    let last = u.dims.y - 1u;
    return transposed(
      b[b_at(k, min(j, last)) / 4u],
      b[b_at(k, min(j + 1u, last)) / 4u],
      b[b_at(k, min(j + 2u, last)) / 4u],
      b[b_at(k, min(j + 3u, last)) / 4u]);
  }
  let columns = min(j, u.dims.y - 4u);
  let term = min(vec4<u32>(k, k + 1u, k + 2u, k + 3u), vec4<u32>(end - 1u));
  let none = vec4<f32>(0.0);
  return Block(
    b[b_at(term.x, columns) / 4u],
    select(none, b[b_at(term.y, columns) / 4u], k + 1u < end),
    select(none, b[b_at(term.z, columns) / 4u], k + 2u < end),
    select(none, b[b_at(term.w, columns) / 4u], k + 3u < end));
}

fn sum_at(place: u32, element: u32) -> Element { return sums[place]; }
