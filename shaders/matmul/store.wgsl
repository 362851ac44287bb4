fn epilogue(i: u32, j: u32, sum: f32) {
  c[i * u.dims.y + j] = sum;
}
