// a = f(z) with z = sum + bias
fn epilogue(i: u32, j: u32, sum: f32) {
  let at = i * u.dims.y + j;
  let z = sum + bias_of(j);
  keep(at, z);
  c[at] = activation(z);
}
