// sums[i] += gradients[i], those of a micro-batch that is not the last one of its batch.
@group(0) @binding(1) var<storage, read> gradients: array<Element>;
@group(0) @binding(2) var<storage, read_write> sums: array<Element>;

fn treat(i: u32) {
  sums[i] += gradients[i];
}
