// g ← g + λ p; v ← μ v + g; p ← p - lr v, or p - lr (g + μ v) with Nesterov. hyper: μ, 1 where Nesterov, λ.
@group(0) @binding(5) var<storage, read_write> velocity: array<Element>;

fn update(i: u32, p: Element, gradient: Element, rates: vec3<f32>) -> Element {
  let momentum = u.hyper.x;
  let g = gradient + u.hyper.z * p;
  let v = momentum * velocity[i] + g;
  velocity[i] = v;
  return p - rates.x * select(v, g + momentum * v, u.hyper.y != 0.0);
}
