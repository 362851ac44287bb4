alias Memory = vec4<f32>;
fn of_memory(x: Memory) -> vec4<f32> { return x; }
fn to_memory(x: vec4<f32>) -> Memory { return x; }
