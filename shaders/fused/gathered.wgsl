// Samples are rows of the data set, found by index. What a buffer says is not trusted to lie inside another one.
@group(0) @binding(8) var<storage, read> order: array<u32>;

fn sample_of(row: u32, first: u32) -> u32 {
  return min(order[min(first + row, arrayLength(&order) - 1u)], arrayLength(&data_targets) / (OUTPUTS + u.dims.z) - 1u);
}
