// Memory as single numbers.
fn synchronize() { storageBarrier(); }

fn element(i: u32) -> f32 { return scratch[i]; }
fn set_element(i: u32, x: f32) { scratch[i] = x; }
fn set_vector(i: u32, x: vec4<f32>) {
  scratch[i] = x.x;
  scratch[i + 1u] = x.y;
  scratch[i + 2u] = x.z;
  scratch[i + 3u] = x.w;
}
fn prepare(base: u32, local: u32) {}
