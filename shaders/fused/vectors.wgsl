// Memory as vectors of four.
fn vector_at(i: u32) -> vec4<f32> { return of_memory(scratch[i]); }
fn set_vector_at(i: u32, x: vec4<f32>) { scratch[i] = to_memory(x); }
fn element(i: u32) -> f32 { return vector_at(i / 4u)[i % 4u]; }
// No other lane writes into this vector.
fn set_element(i: u32, x: f32) {
  let place = vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>(i % 4u);
  set_vector_at(i / 4u, select(vector_at(i / 4u), vec4<f32>(x), place));
}
fn set_vector(i: u32, x: vec4<f32>) { set_vector_at(i / 4u, x); }
