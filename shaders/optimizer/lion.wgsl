// c = m + (1 - β₁) (g - m); m ← m + (1 - β₂) (g - m); p ← p - lr λ p - lr sign c. hyper: 1 - β₁, 1 - β₂, λ.
@group(0) @binding(5) var<storage, read_write> first_moment: array<Element>;

fn update(i: u32, p: Element, g: Element, rates: vec3<f32>) -> Element {
  let direction = first_moment[i] + u.hyper.x * (g - first_moment[i]);
  first_moment[i] = first_moment[i] + u.hyper.y * (g - first_moment[i]);
  return p - rates.x * u.hyper.z * p - rates.x * sign(direction);
}
