// Memory as vectors of four. A workgroup is one subgroup.
const WORKGROUP: u32 = 8u;

fn element(i: u32) -> f32 { return scratch[i / 4u][i % 4u]; }
fn set_element(i: u32, x: f32) { scratch[i / 4u][i % 4u] = x; }
fn set_vector(i: u32, x: vec4<f32>) { scratch[i / 4u] = x; }
