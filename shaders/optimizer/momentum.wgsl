// v ← μ v + g; p ← p - lr v, or p - lr (g + μ v) with Nesterov. hyper: μ, 1 where Nesterov.
@group(0) @binding(5) var<storage, read_write> velocity: array<Element>;

fn update(i: u32, p: Element, g: Element, learning_rate: f32) -> Element {
  let momentum = u.hyper.x;
  let v = momentum * velocity[i] + g;
  velocity[i] = v;
  return p - learning_rate * select(v, g + momentum * v, u.hyper.y != 0.0);
}
