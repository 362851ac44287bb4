// sums[j] = Σ_r matrix[r, j]. dims: rows, cols. A workgroup sums 16 columns, or groups of WIDTH columns; its 16 rows of invocations take every 16th
// row of the matrix, and their parts are added in a fixed order.

@group(0) @binding(1) var<storage, read> matrix: array<Stored>;
@group(0) @binding(2) var<storage, read_write> sums: array<Element>;

var<workgroup> parts: array<Element, 256>;

@compute @workgroup_size(16, 16)
fn main(
  @builtin(global_invocation_id) id: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) at: u32,
) {
  let cols = u.dims.y / WIDTH;
  let live = id.x < cols;
  var sum = Element(0.0);
  if live {
    var r = local.y;
    // Four loads on their way at a time, their sum still in order.
    for (; r + 48u < u.dims.x; r += 64u) {
      let x0 = Element(matrix[r * cols + id.x]);
      let x1 = Element(matrix[(r + 16u) * cols + id.x]);
      let x2 = Element(matrix[(r + 32u) * cols + id.x]);
      let x3 = Element(matrix[(r + 48u) * cols + id.x]);
      sum = (((sum + x0) + x1) + x2) + x3;
    }
    for (; r < u.dims.x; r += 16u) {
      sum += Element(matrix[r * cols + id.x]);
    }
  }
  parts[at] = sum;
  workgroupBarrier();
  for (var half = 8u; half > 0u; half /= 2u) {
    if local.y < half {
      parts[at] += parts[at + 16u * half];
    }
    workgroupBarrier();
  }
  if local.y == 0u && live {
    sums[id.x] = parts[at];
  }
}
