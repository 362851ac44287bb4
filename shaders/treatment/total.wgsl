// gradients[i] += sums[i]: to those of a batch's last micro-batch the others', which begin anew.
@group(0) @binding(1) var<storage, read_write> sums: array<Element>;
@group(0) @binding(2) var<storage, read_write> gradients: array<Element>;

fn treat(i: u32) {
  gradients[i] += sums[i];
  sums[i] = Element(0.0);
}
