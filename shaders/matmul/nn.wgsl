// A · B: a is [m, k], b is [k, n]
const A_ALONG_K: bool = true;
const B_ALONG_K: bool = false;
fn a_at(i: u32, k: u32) -> u32 { return i * u.dims.z + k; }
fn b_at(k: u32, j: u32) -> u32 { return k * u.dims.y + j; }
