// A · Bᵀ: a is [m, k], b is [n, k]
const A_ALONG_K: bool = true;
const B_ALONG_K: bool = true;
fn a_at(i: u32, k: u32) -> u32 { return i * u.dims.z + k; }
fn b_at(k: u32, j: u32) -> u32 { return j * u.dims.z + k; }
