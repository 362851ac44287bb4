// What an output is multiplied by: 0 where it drops out, else 1 / (1 - rate). hyper: rate, that factor, the layer's number.
@group(0) @binding(2) var<storage, read> clock: array<u32>;

fn mask(index: u32) -> f32 {
  let entry = schedule[min(clock[0], arrayLength(&schedule) - 1u)];
  if (entry.flags & TRAINING) == 0u {
    return 1.0;
  }
  let drawn = pcg4d(vec4<u32>(index, u32(u.hyper.z), entry.seed, 0u)).x;
  return select(0.0, u.hyper.y, drawn >= u32(u.hyper.x * 4294967296.0));
}
