// c = epilogue(A · B) with A as [m, k], B as [k, n], c as [m, n]; dims: m, n, k. How A and B lie in memory is the form's
// business, what happens to a sum before it is stored the epilogue's.

// Rows of workgroups are folded into the third dimension where there are more than 65,535.
fn workgroup_row(id: vec3<u32>, count: vec3<u32>) -> u32 {
  return id.y + id.z * count.y;
}

@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
