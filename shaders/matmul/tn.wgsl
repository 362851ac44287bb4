// Aᵀ · B: a is [k, m], b is [k, n]
const A_ALONG_K: bool = false;
const B_ALONG_K: bool = false;
fn a_at(i: u32, k: u32) -> u32 { return k * u.dims.x + i; }
fn b_at(k: u32, j: u32) -> u32 { return k * u.dims.y + j; }
