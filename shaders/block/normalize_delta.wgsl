// δ ← ∂loss/∂z from δ = ∂loss/∂n: w (δ v - plain / m - x̂ along / m) / √(variance + ε), with v the scale for rows and w
// for columns, the other 1, m the elements of a row or the samples, and both sums as normalize_sums has them.
// dims: rows, cols, where the second sums begin.
@group(0) @binding(3) var<storage, read> sums: array<f32>;
@group(0) @binding(4) var<storage, read> statistics: array<f32>;
@group(0) @binding(5) var<storage, read> scale: array<f32>;
@group(0) @binding(6) var<storage, read> normal: array<f32>;
@group(0) @binding(7) var<storage, read_write> delta: array<f32>;

fn each(i: u32) {
  let unit = i % u.dims.y;
  if is_padding(i / u.dims.y) {
    delta[i] = 0.0;
    return;
  }
  let item = item_at(i);
  let share = 1.0 / f32(counted());
  let reach = 1.0 / sqrt(statistics[items() + item] + EPSILON);
  let centred = delta[i] * inside(unit) - sums[u.dims.z + item] * share - normal[i] * (sums[item] * share);
  delta[i] = outside(unit) * reach * centred;
}
