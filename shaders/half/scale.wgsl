// The dynamic loss scale is a power of two; scaler[0] is its logarithm less
// FIRST_LOG_SCALE, so that a slot of zeros is a fresh scaler.
// 127 is the bias of an f32's exponent.
fn power_of_two(log: i32) -> f32 { return bitcast<f32>(u32(127 + log) << 23u); }
fn scale() -> f32 { return power_of_two(FIRST_LOG_SCALE + i32(scaler[0])); }
fn inverse_scale() -> f32 { return power_of_two(-FIRST_LOG_SCALE - i32(scaler[0])); }
