// z ← x̂ = (z - mean) / √(variance + ε), then a = f(n) with n = scale ⊙ x̂ + shift. dims: rows, cols, where variances begin.
@group(0) @binding(1) var<storage, read> statistics: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> shift: array<f32>;
@group(0) @binding(4) var<storage, read_write> z: array<f32>;
@group(0) @binding(6) var<storage, read_write> a: array<f32>;

fn each(i: u32) {
  let item = item_at(i);
  let unit = i % u.dims.y;
  let normal = (z[i] - statistics[item]) * (1.0 / sqrt(statistics[u.dims.z + item] + EPSILON));
  z[i] = normal;
  let n = scale[unit] * normal + shift[unit];
  keep(i, n);
  a[i] = activation(n);
}
