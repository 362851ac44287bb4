// a = f(z) with z = sum + bias
@group(0) @binding(3) var<storage, read_write> c: array<f16>;

fn epilogue(i: u32, j: u32, sum: f32) {
  let at = i * u.dims.y + j;
  let z = sum + bias_of(j);
  keep(at, z);
  c[at] = f16(activation(z));
}
