// The last dispatch of an update.
@group(0) @binding(1) var<storage, read_write> scaler: array<f32>;
@group(0) @binding(2) var<storage, read_write> overflow: array<u32>;

@compute @workgroup_size(1)
fn main() {
  adapt(overflow[0] != 0u);
  overflow[0] = 0u;
}
