//! The products of the fused kernels for software rasterisers, whose subgroups have eight lanes. As in
//! the matrix product of that name, each lane computes 32 rows of 4 columns, and values of the left operand go round
//! within the subgroup. Everything is read and written as vectors of four, terms of the sums too: a load costs the same
//! for four numbers as for one. The texts are generated because their inner parts are unrolled.

use crate::kernel::SOFTWARE_LANES;
use crate::kernel::broadcast::each_sum;
use std::fmt::{Result, Write};

/// Rows that share one load of the left operand, one for each lane.
const LANES: usize = SOFTWARE_LANES as usize;
const GROUPS: usize = super::TILE_ROWS / LANES;
const ELEMENTS: [char; 4] = ['x', 'y', 'z', 'w'];

pub(super) fn forward(w: &mut String) -> Result {
    w.push_str(
        "
// a = f(z) with z = Σ_k input[r, k] weight[j, k] + bias
fn forward(layer: Layer, l: u32, base: u32, rows: u32, lane: u32) {
  let depth = padded(layer.inputs) / 4u;
  let stride = padded(layer.outputs) / 4u;
  for (var row = 0u; row < tall(rows); row += 32u) {
    for (var first = 0u; first < layer.outputs; first += 32u) {
      let col = first + 4u * lane;
      let a_at = (base + layer.input) / 4u + (row + lane) * depth;
",
    );
    for e in 0..4 {
        writeln!(w, "      let w{e} = layer.weight / 4u + min(col + {e}u, layer.outputs - 1u) * depth;")?;
    }
    sums(w)?;
    writeln!(w, "      for (var k = 0u; k < depth; k++) {{")?;
    for e in 0..4 {
        writeln!(w, "        let weight{e} = weight_at(base, w{e} + k);")?;
    }
    for (t, x) in ELEMENTS.iter().enumerate() {
        writeln!(w, "        let b{t} = vec4<f32>(weight0.{x}, weight1.{x}, weight2.{x}, weight3.{x});")?;
    }
    for g in 0..GROUPS {
        writeln!(w, "        let a{g} = vector_at(a_at + {}u * depth + k);", LANES * g)?;
    }
    turn(w)?;
    writeln!(w, "      }}")?;
    w.push_str(
        "      let bias = bias_at(layer, col);
      let wanted = vec4<u32>(col, col + 1u, col + 2u, col + 3u) < vec4<u32>(layer.outputs);
      let end = select(row, row + 32u, col < layer.outputs);
",
    );
    rows(
        w,
        "          let z = select(vec4<f32>(0.0), SUM + bias, wanted);
          let at = base / 4u + r * stride + col / 4u;
          if layer.stored != layer.output {
            set_vector_at(layer.stored / 4u + at, z);
          }
          set_vector_at(layer.output / 4u + at, select(vec4<f32>(0.0), activate(l, z), wanted));
",
    )?;
    writeln!(w, "    }}\n  }}\n}}")
}

pub(super) fn backward(w: &mut String) -> Result {
    w.push_str(
        "
// δ of the layer below, Σ_j delta[r, j] weight[j, k] ⊙ f′; below the first layer it is the input's gradient
fn backward(layer: Layer, l: u32, base: u32, first: u32, rows: u32, lane: u32) {
  let depth = padded(layer.outputs) / 4u;
  let stride = padded(layer.inputs) / 4u;
  for (var row = 0u; row < select(0u, tall(rows), layer.wants_below); row += 32u) {
    for (var first_col = 0u; first_col < layer.inputs; first_col += 32u) {
      let col = first_col + 4u * lane;
      let a_at = (base + layer.delta) / 4u + (row + lane) * depth;
      let w_at = layer.weight / 4u + min(col / 4u, stride - 1u);
",
    );
    sums(w)?;
    writeln!(w, "      for (var j = 0u; j < depth; j++) {{")?;
    for t in 0..4 {
        // Units past the last one have a delta of 0.
        writeln!(w, "        let b{t} = weight_at(base, w_at + min(4u * j + {t}u, layer.outputs - 1u) * stride);")?;
    }
    for g in 0..GROUPS {
        writeln!(w, "        let a{g} = vector_at(a_at + {}u * depth + j);", LANES * g)?;
    }
    turn(w)?;
    writeln!(w, "      }}")?;
    writeln!(w, "      let end = select(row, row + 32u, col < layer.inputs);")?;
    rows(
        w,
        "          if l > 0u {
            let at = base / 4u + r * stride + col / 4u;
            set_vector_at(layer.below / 4u + at, SUM * derivative(l - 1u, vector_at(layer.below_stored / 4u + at)));
          } else if r < rows {
            input_gradient_at(first + r, col, SUM);
          }
",
    )?;
    writeln!(w, "    }}\n  }}\n}}")
}

pub(super) fn gradients(w: &mut String) -> Result {
    w.push_str(
        "
// gradient[j, k] = Σ_r delta[r, j] input[r, k] and that of the bias, Σ_r delta[r, j], added to those of the slabs before
fn weight_gradient(layer: Layer, base: u32, gradients: u32, rows: u32, add: bool, lane: u32) {
  let depth = padded(layer.outputs) / 4u;
  let stride = padded(layer.inputs) / 4u;
  let cols = select(select(0u, 1u, layer.wants_bias), layer.inputs, layer.wants_weight);
  for (var row = 0u; row < layer.outputs; row += 32u) {
    for (var first = 0u; first < cols; first += 32u) {
      let col = first + 4u * lane;
      let a_at = (base + layer.delta) / 4u + min(row / 4u + lane, depth - 1u);
      let b_at = (base + layer.input) / 4u + min(col / 4u, stride - 1u);
",
    );
    sums(w)?;
    writeln!(w, "      var bias = vec4<f32>(0.0);")?;
    writeln!(w, "      for (var r = 0u; r < tall(rows); r += 4u) {{")?;
    for t in 0..4 {
        writeln!(w, "        let b{t} = vector_at(b_at + (r + {t}u) * stride);")?;
        writeln!(w, "        let a{t} = vector_at(a_at + (r + {t}u) * depth);")?;
    }
    writeln!(w, "        bias += (a0 + a1) + (a2 + a3);")?;
    for lane in 0..LANES {
        for t in 0..4 {
            writeln!(w, "        let s{lane}_{t} = subgroupBroadcast(a{t}, {lane}u);")?;
        }
        for (e, x) in ELEMENTS.iter().enumerate() {
            let r = 4 * lane + e;
            for t in 0..4 {
                writeln!(w, "        c{r} = fma(vec4<f32>(s{lane}_{t}.{x}), b{t}, c{r});")?;
            }
        }
    }
    writeln!(w, "      }}")?;
    writeln!(
        w,
        "      let end = select(row, min(row + 32u, layer.outputs), layer.wants_weight && col < layer.inputs);"
    )?;
    rows(w, "          accumulate((gradients + layer.weight_gradient) / 4u + r * stride + col / 4u, SUM, add);\n")?;
    w.push_str(
        "      // Each lane has summed the deltas of four units.
      if first == 0u && layer.wants_bias && row + 4u * lane < layer.outputs {
        accumulate((gradients + layer.bias_gradient + row) / 4u + lane, bias, add);
      }
    }
  }
}

// The product sums the deltas too.
fn bias_gradient(layer: Layer, base: u32, gradients: u32, rows: u32, add: bool, lane: u32) {}

fn accumulate(at: u32, sum: vec4<f32>, add: bool) {
  partials[at] = select(vec4<f32>(0.0), partials[at], add) + sum;
}
",
    );
    Ok(())
}

fn sums(w: &mut String) -> Result {
    (0..super::TILE_ROWS).try_for_each(|r| writeln!(w, "      var c{r} = vec4<f32>(0.0);"))
}

/// Does `what` with each row's `SUM`.
fn rows(w: &mut String, what: &str) -> Result {
    each_sum(w, "      ", super::TILE_ROWS, |w, sum| w.write_str(&what.replace("SUM", sum)))
}

/// Four terms of every sum.
fn turn(w: &mut String) -> Result {
    for r in 0..super::TILE_ROWS {
        writeln!(w, "        let s{r} = subgroupBroadcast(a{}, {}u);", r / LANES, r % LANES)?;
        // All terms of a row together: its sums are loaded and stored once where registers are few.
        for (t, x) in ELEMENTS.iter().enumerate() {
            writeln!(w, "        c{r} = fma(vec4<f32>(s{r}.{x}), b{t}, c{r});")?;
        }
    }
    Ok(())
}
