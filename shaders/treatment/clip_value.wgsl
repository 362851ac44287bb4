// gradients[i] is held within ±limit; NaN stays NaN. hyper: limit.
@group(0) @binding(1) var<storage, read_write> gradients: array<Element>;

fn treat(i: u32) {
  let g = gradients[i];
  let limit = Element(u.hyper.x);
  gradients[i] = select(select(g, limit, g > limit), -limit, g < -limit);
}
