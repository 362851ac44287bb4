// Memory as single numbers.
fn element(i: u32) -> f32 { return f32(scratch[i]); }
fn set_element(i: u32, x: f32) { scratch[i] = Stored(x); }
fn weight_at(i: u32) -> Stored { return Stored(params[i]); }
fn set_vector(i: u32, x: vec4<f32>) {
  scratch[i] = Stored(x.x);
  scratch[i + 1u] = Stored(x.y);
  scratch[i + 2u] = Stored(x.z);
  scratch[i + 3u] = Stored(x.w);
}
fn prepare(base: u32, local: u32) {}
