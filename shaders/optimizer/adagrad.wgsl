// g ← g + λ p; s ← s + g²; p ← p - lr g / (√s + ε). hyper: ε, λ.
@group(0) @binding(5) var<storage, read_write> sum_of_squares: array<Element>;

fn update(i: u32, p: Element, gradient: Element, rates: vec3<f32>) -> Element {
  let g = gradient + u.hyper.y * p;
  let sum = sum_of_squares[i] + g * g;
  sum_of_squares[i] = sum;
  return p - rates.x * g / (sqrt(sum) + u.hyper.x);
}
