// y = x + mask ⊙ a. dims: rows, cols.
@group(0) @binding(3) var<storage, read> a: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn each(i: u32) {
  y[i] = beside(i) + mask(i) * a[i];
}
