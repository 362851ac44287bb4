// Memory as vectors of four. A workgroup is one subgroup.
const WORKGROUP: u32 = 8u;

// On a software rasteriser the lanes of a subgroup are those of one vector: what one has stored, the others see. A barrier
// would cut the program into coroutines, which takes almost half of its speed.
fn synchronize() {}
fn share() {}

fn element(i: u32) -> f32 { return scratch[i / 4u][i % 4u]; }
fn set_element(i: u32, x: f32) { scratch[i / 4u][i % 4u] = x; }
fn set_vector(i: u32, x: vec4<f32>) { scratch[i / 4u] = x; }
