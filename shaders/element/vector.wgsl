// Matrices as vectors of four neighbours in a row: one load for four numbers.
alias Element = vec4<f32>;
const WIDTH: u32 = 4u;
