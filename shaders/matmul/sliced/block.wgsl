// Four terms of four rows of A, or of four columns of B. (A matrix would be shorter; DXC 1.7 crashes on it.)
struct Block {
  term0: vec4<f32>,
  term1: vec4<f32>,
  term2: vec4<f32>,
  term3: vec4<f32>,
}
