// statistics[item] = mean of z and statistics[items + item] = its variance. dims: rows, cols.
@group(0) @binding(3) var<storage, read> z: array<f32>;
@group(0) @binding(4) var<storage, read_write> statistics: array<f32>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = linear_workgroup(workgroup, count) * ITEMS + item_of(local);
  let lane = lane_of(local);
  let of_item = counted();
  let n = select(0u, of_item, item < items());
  // Four loads on their way at a time, their sums still in order.
  var sum = 0.0;
  var i = lane;
  for (; i + 3u * LANES < n; i += 4u * LANES) {
    let x0 = z[place(item, i)];
    let x1 = z[place(item, i + LANES)];
    let x2 = z[place(item, i + 2u * LANES)];
    let x3 = z[place(item, i + 3u * LANES)];
    sum = (((sum + x0) + x1) + x2) + x3;
  }
  for (; i < n; i += LANES) {
    sum += z[place(item, i)];
  }
  let mean = total(local, sum) / f32(of_item);
  var squares = 0.0;
  i = lane;
  for (; i + 3u * LANES < n; i += 4u * LANES) {
    let x0 = z[place(item, i)] - mean;
    let x1 = z[place(item, i + LANES)] - mean;
    let x2 = z[place(item, i + 2u * LANES)] - mean;
    let x3 = z[place(item, i + 3u * LANES)] - mean;
    squares = (((squares + x0 * x0) + x1 * x1) + x2 * x2) + x3 * x3;
  }
  for (; i < n; i += LANES) {
    let difference = z[place(item, i)] - mean;
    squares += difference * difference;
  }
  let variance = total(local, squares) / f32(of_item);
  if item < items() && lane == 0u {
    let both = taken(item, vec2<f32>(mean, variance));
    statistics[item] = both.x;
    statistics[items() + item] = both.y;
  }
}
