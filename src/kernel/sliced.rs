//! The matrix product for few rows and columns on GPUs with many invocations: the terms of a sum are divided among those of a
//! workgroup ("sliced k").

/// Rows and columns of the tile that a workgroup of 256 invocations computes.
pub const TILE: u32 = 16;

/// Invocations that have terms of the same sum.
const SLICES: u64 = 16;

const BLOCK: &str = include_str!("../../shaders/matmul/sliced/block.wgsl");
const TEXT: &str = include_str!("../../shaders/matmul/sliced.wgsl");

/// Operands number by number; it calls `a_value` and `b_value`.
pub const TEXT_BY_NUMBERS: [&str; 3] = [BLOCK, include_str!("../../shaders/matmul/sliced/numbers.wgsl"), TEXT];

/// Operands by vectors of four.
pub const TEXT_BY_VECTORS: [&str; 3] = [BLOCK, include_str!("../../shaders/matmul/sliced/vectors.wgsl"), TEXT];

/// Iterations of all loops of an invocation.
pub fn loop_iterations(terms: u64) -> u64 {
    terms.div_ceil(4 * SLICES) + SLICES
}
