// Two numbers as one 64-bit integer: to a software rasteriser, which loads and stores number by number, they are one.
alias Pairs = vec2<u64>;
fn of_pairs(x: Pairs) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(u32(x.x), u32(x.x >> 32u), u32(x.y), u32(x.y >> 32u)));
}
fn to_pairs(x: vec4<f32>) -> Pairs {
  let bits = bitcast<vec4<u32>>(x);
  return Pairs(u64(bits.x) | (u64(bits.y) << 32u), u64(bits.z) | (u64(bits.w) << 32u));
}
