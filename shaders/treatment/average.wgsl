// average[i] += rate (params[i] - average[i]): an exponential moving average. hyper: rate.
@group(0) @binding(1) var<storage, read> params: array<Element>;
@group(0) @binding(2) var<storage, read_write> average: array<Element>;

fn treat(i: u32) {
  average[i] += u.hyper.x * (params[i] - average[i]);
}
