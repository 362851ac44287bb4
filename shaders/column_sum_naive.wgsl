// sums[j] = Σ_r matrix[r, j] in the order of the rows: the bias gradient from δ. dims: rows, cols. One invocation per
// column, or group of WIDTH columns; with WIDTH = 1 the specification of every faster variant.

@group(0) @binding(1) var<storage, read> matrix: array<Stored>;
@group(0) @binding(2) var<storage, read_write> sums: array<Element>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let cols = u.dims.y / WIDTH;
  if id.x >= cols {
    return;
  }
  var sum = Element(0.0);
  for (var r = 0u; r < u.dims.x; r++) {
    sum += Element(matrix[r * cols + id.x]);
  }
  sums[id.x] = sum;
}
