// c = epilogue(A · B) with A as [m, k], B as [k, n], c as [m, n]; dims: m, n, k, first element of b. Operands are f16, sums
// f32. How A and B lie in memory is the form's business, what happens to a sum before it is stored the epilogue's.

// Rows of workgroups are folded into the third dimension where there are more than 65,535.
fn workgroup_row(id: vec3<u32>, count: vec3<u32>) -> u32 {
  return id.y + id.z * count.y;
}

@group(0) @binding(1) var<storage, read> a: array<f16>;
@group(0) @binding(2) var<storage, read> b: array<f16>;

// Elements past an edge are 0, so that tiles may reach beyond it.
fn a_of(i: u32, k: u32) -> f16 {
  if i < u.dims.x && k < u.dims.z {
    return a[a_at(i, k)];
  }
  return 0.0h;
}

fn b_of(k: u32, j: u32) -> f16 {
  if j < u.dims.y && k < u.dims.z {
    return b[u.dims.w + b_at(k, j)];
  }
  return 0.0h;
}
