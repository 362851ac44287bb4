// Deltas carry the dynamic loss scale. What overflows f16 is infinite or NaN from there to a gradient: each part reports
// whether one of its gradients is.
@group(0) @binding(9) var<uniform> scaler: vec4<f32>;

var<private> overflowed: bool;

fn delta_scale() -> f32 { return scale(); }

// By the bits of the exponent: compilers may take it that no number is NaN.
fn watch(sum: f32) {
  overflowed = overflowed || (bitcast<u32>(sum) & 0x7f800000u) == 0x7f800000u;
}

fn overflow() -> f32 { return select(0.0, 1.0, overflowed); }
fn report(at: u32, overflows: f32) { set_partial(at, overflows); }
