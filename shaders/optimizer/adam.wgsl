// g ← g + λ p; m ← m + (1 - β₁) (g - m); v ← v + (1 - β₂) (g² - v); p ← p - lr m̂ / (√v̂ + ε). rates: lr, 1 / (1 - β₁ᵗ),
// 1 / √(1 - β₂ᵗ). hyper: 1 - β₁, 1 - β₂, ε, λ.
@group(0) @binding(5) var<storage, read_write> first_moment: array<Element>;
@group(0) @binding(6) var<storage, read_write> second_moment: array<Element>;

fn update(i: u32, p: Element, gradient: Element, rates: vec3<f32>) -> Element {
  let g = gradient + u.hyper.w * p;
  let m = first_moment[i] + u.hyper.x * (g - first_moment[i]);
  let v = second_moment[i] + u.hyper.y * (g * g - second_moment[i]);
  first_moment[i] = m;
  second_moment[i] = v;
  return p - rates.x * rates.y * m / (sqrt(v) * rates.z + u.hyper.z);
}
