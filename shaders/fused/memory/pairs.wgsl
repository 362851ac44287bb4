alias Memory = Pairs;
fn of_memory(x: Memory) -> vec4<f32> { return of_pairs(x); }
fn to_memory(x: vec4<f32>) -> Memory { return to_pairs(x); }
alias Numbers = Pairs;
fn of_numbers(x: Numbers) -> vec4<f32> { return of_pairs(x); }
