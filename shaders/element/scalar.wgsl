// Matrices as numbers one by one.
alias Element = f32;
const WIDTH: u32 = 1u;
