// row_loss: the losses of the parts, and behind them whether a gradient of theirs overflowed, which adapts the loss scale.
@group(0) @binding(4) var<storage, read_write> scaler: array<f32>;

alias Total = vec2<f32>;
fn total_of(r: u32) -> Total { return Total(row_loss[r], row_loss[u.dims.x + r]); }
fn conclude(total: Total) -> f32 {
  adapt(total.y > 0.0);
  return total.x;
}
