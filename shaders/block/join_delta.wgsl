// flow = flow + beside, the derivative by what the layer puts out, and delta = flow ⊙ mask ⊙ f′ in
// place of what the forward pass stored for the derivative. dims: rows, cols.
@group(0) @binding(3) var<storage, read_write> flow: array<f32>;
@group(0) @binding(4) var<storage, read_write> delta: array<f32>;

fn each(i: u32) {
  let arriving = flow[i] + beside(i);
  flow[i] = arriving;
  delta[i] = arriving * mask(i) * activation_derivative(delta[i]);
}
