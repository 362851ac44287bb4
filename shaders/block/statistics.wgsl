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
  var sum = 0.0;
  for (var i = lane; i < n; i += LANES) {
    sum += z[place(item, i)];
  }
  let mean = total(local, sum) / f32(of_item);
  var squares = 0.0;
  for (var i = lane; i < n; i += LANES) {
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
