alias Memory = vec4<Stored>;
fn of_memory(x: Memory) -> vec4<f32> { return vec4<f32>(x); }
fn to_memory(x: vec4<f32>) -> Memory { return Memory(x); }
alias Numbers = vec4<f32>;
fn of_numbers(x: Numbers) -> vec4<f32> { return x; }
