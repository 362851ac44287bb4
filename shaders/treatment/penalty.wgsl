// gradients[i] += λ₁ sign(params[i]) + λ₂ params[i]. hyper: λ₁, λ₂.
@group(0) @binding(1) var<storage, read> params: array<Element>;
@group(0) @binding(2) var<storage, read_write> gradients: array<Element>;

fn treat(i: u32) {
  let p = params[i];
  gradients[i] += u.hyper.x * sign(p) + u.hyper.y * p;
}
