@group(0) @binding(3) var<storage, read_write> c: array<f32>;

fn epilogue(i: u32, j: u32, sum: f32) {
  c[i * u.dims.y + j] = sum;
}
