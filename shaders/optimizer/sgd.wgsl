// p ← p - lr (g + λ p). hyper: λ.
fn update(i: u32, p: Element, g: Element, rates: vec3<f32>) -> Element {
  return p - rates.x * (g + u.hyper.x * p);
}
