// g ← g + λ p; v ← v + (1 - α) (g² - v); p ← p - lr g / (√v + ε). hyper: 1 - α, ε, λ.
@group(0) @binding(5) var<storage, read_write> second_moment: array<Element>;

fn update(i: u32, p: Element, gradient: Element, rates: vec3<f32>) -> Element {
  let g = gradient + u.hyper.z * p;
  let v = second_moment[i] + u.hyper.x * (g * g - second_moment[i]);
  second_moment[i] = v;
  return p - rates.x * g / (sqrt(v) + u.hyper.y);
}
