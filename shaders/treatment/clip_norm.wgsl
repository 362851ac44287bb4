// gradients[i] *= clip[0], the factor of a clipped norm.
@group(0) @binding(1) var<storage, read> clip: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradients: array<Element>;

fn treat(i: u32) {
  gradients[i] *= clip[0];
}
