// What expressions call besides the functions of math.wgsl. A NaN stays NaN: the built-in `min` and `max` may drop it.

fn smaller(x: f32, y: f32) -> f32 { return select(select(y, x, x < y), x, x != x); }
fn larger(x: f32, y: f32) -> f32 { return select(select(y, x, x > y), x, x != x); }
fn rectified(x: f32) -> f32 { return select(x, 0.0, x < 0.0); }

// x^y as C has it; the built-in function knows positive x alone. log(x) is NaN where x < 0 and y is no integer.
fn power(x: f32, y: f32) -> f32 {
  let at_zero = select(0.0, 1.0 / abs(x), y < 0.0);
  let magnitude = select(pow(abs(x), y), at_zero, x == 0.0);
  let odd = floor(0.5 * y) * 2.0 != y;
  let negative = select(log(x), select(magnitude, -magnitude, odd), floor(y) == y);
  return select(select(magnitude, negative, x < 0.0), 1.0, y == 0.0);
}
