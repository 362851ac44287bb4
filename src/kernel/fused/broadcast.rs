//! The products of the fused kernels for adapters whose subgroups have eight lanes, which are software rasterisers. As in
//! the matrix product of that name, each lane computes 32 rows of 4 columns, and values of the left operand go round
//! within the subgroup; a narrow last layer has texts of its own. Everything is read and written as vectors of four, terms of the sums too: a load costs the same
//! for four numbers as for one. The texts are generated because their inner parts are unrolled.

use crate::kernel::broadcast::each_sum;
use std::fmt::{Result, Write};

/// Lanes of a subgroup, and rows that share one load of the left operand.
const LANES: usize = 8;
const GROUPS: usize = super::TILE_ROWS / LANES;
const ELEMENTS: [char; 4] = ['x', 'y', 'z', 'w'];

/// Vectors of units that a last layer has at most to count as narrow: ten classes are three.
const MOST_NARROW: usize = 3;

/// How many vectors the units of a last layer fill, where they are few. In a tile of usual shape most lanes of such a layer
/// would compute what nobody needs.
fn narrow(outputs: usize) -> Option<usize> {
    Some(outputs.div_ceil(4)).filter(|&vectors| vectors <= MOST_NARROW)
}

/// The function `name` with parameters of these names and types, of which the first is a layer: a text of its own for layers
/// whose units fill `vectors` vectors.
fn by_width(w: &mut String, name: &str, vectors: usize, params: &[(&str, &str)]) -> Result {
    let declared = params.iter().map(|(name, kind)| format!("{name}: {kind}")).collect::<Vec<_>>().join(", ");
    let handed = params.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    writeln!(w, "\nfn {name}(layer: Layer, {declared}) {{\n  if padded(layer.outputs) == {}u {{", 4 * vectors)?;
    writeln!(w, "    {name}_narrow(layer, {handed});\n  }} else {{\n    {name}_wide(layer, {handed});\n  }}\n}}")
}

/// The forward products, where the last layer has so many `outputs`.
pub(super) fn forward(w: &mut String, outputs: usize) -> Result {
    let Some(vectors) = narrow(outputs) else { return forward_wide(w, "forward") };
    forward_wide(w, "forward_wide")?;
    forward_narrow(w, vectors)?;
    by_width(w, "forward", vectors, &["l", "base", "rows", "lane"].map(|name| (name, "u32")))
}

/// Lanes take four rows each and every unit: the roles of both operands change.
fn forward_narrow(w: &mut String, vectors: usize) -> Result {
    w.push_str(
        "
// The same where units are few: each lane computes all of them, of four rows.
fn forward_narrow(layer: Layer, l: u32, base: u32, rows: u32, lane: u32) {
  let depth = padded(layer.inputs) / 4u;
  let stride = padded(layer.outputs) / 4u;
  for (var row = 0u; row < tall(rows); row += 32u) {
    let first = row + 4u * lane;
    let b_at = (base + layer.input) / 4u + first * depth;
",
    );
    let loads = (4 * vectors).div_ceil(LANES);
    for load in 0..loads {
        let unit = format!("min({}u + lane, layer.outputs - 1u)", load * LANES);
        writeln!(w, "    let a_at{load} = layer.weight / 4u + {unit} * depth;")?;
    }
    for j in 0..4 * vectors {
        writeln!(w, "    var c{j} = vec4<f32>(0.0);")?;
    }
    writeln!(w, "    for (var k = 0u; k < depth; k++) {{")?;
    for e in 0..4 {
        writeln!(w, "      let row{e} = vector_at(b_at + {e}u * depth + k);")?;
    }
    for (t, x) in ELEMENTS.iter().enumerate() {
        writeln!(w, "      let b{t} = vec4<f32>(row0.{x}, row1.{x}, row2.{x}, row3.{x});")?;
    }
    for load in 0..loads {
        writeln!(w, "      let a{load} = weight_at(base, a_at{load} + k);")?;
    }
    for j in 0..4 * vectors {
        writeln!(w, "      let s{j} = subgroupBroadcast(a{}, {}u);", j / LANES, j % LANES)?;
        for (t, x) in ELEMENTS.iter().enumerate() {
            writeln!(w, "      c{j} = fma(vec4<f32>(s{j}.{x}), b{t}, c{j});")?;
        }
    }
    writeln!(w, "    }}")?;
    for v in 0..vectors {
        let [a, b, c, d] = [0, 1, 2, 3].map(|e| 4 * v + e);
        writeln!(w, "    let bias{v} = bias_at(layer, {a}u);")?;
        writeln!(w, "    let wanted{v} = vec4<u32>({a}u, {b}u, {c}u, {d}u) < vec4<u32>(layer.outputs);")?;
    }
    // The next row's sums move up, so that what comes of them is compiled once.
    writeln!(w, "    for (var r = first; r < first + 4u; r++) {{\n      let at = base / 4u + r * stride;")?;
    for v in 0..vectors {
        let sums = (0..4).map(|e| format!("c{}.x", 4 * v + e)).collect::<Vec<_>>().join(", ");
        writeln!(w, "      let z{v} = select(vec4<f32>(0.0), vec4<f32>({sums}) + bias{v}, wanted{v});")?;
        writeln!(w, "      if layer.stored != layer.output {{")?;
        writeln!(w, "        set_vector_at(layer.stored / 4u + at + {v}u, z{v});\n      }}")?;
        let value = format!("select(vec4<f32>(0.0), activate(l, z{v}), wanted{v})");
        writeln!(w, "      set_vector_at(layer.output / 4u + at + {v}u, {value});")?;
    }
    for j in 0..4 * vectors {
        writeln!(w, "      c{j} = c{j}.yzwx;")?;
    }
    writeln!(w, "    }}\n  }}\n}}")
}

fn forward_wide(w: &mut String, name: &str) -> Result {
    let head = "
// a = f(z) with z = Σ_k input[r, k] weight[j, k] + bias
fn NAME(layer: Layer, l: u32, base: u32, rows: u32, lane: u32) {
  let depth = padded(layer.inputs) / 4u;
  let stride = padded(layer.outputs) / 4u;
  for (var row = 0u; row < tall(rows); row += 32u) {
    for (var first = 0u; first < layer.outputs; first += 32u) {
      let col = first + 4u * lane;
      let a_at = (base + layer.input) / 4u + (row + lane) * depth;
";
    w.push_str(&head.replace("NAME", name));
    for e in 0..4 {
        writeln!(w, "      let w{e} = layer.weight / 4u + min(col + {e}u, layer.outputs - 1u) * depth;")?;
    }
    sums(w, super::TILE_ROWS)?;
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
        super::TILE_ROWS,
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
    sums(w, super::TILE_ROWS)?;
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
        super::TILE_ROWS,
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

/// The gradients, where the last layer has so many `outputs`.
pub(super) fn gradients(w: &mut String, outputs: usize) -> Result {
    match narrow(outputs) {
        None => gradients_of(w, "weight_gradient", LANES)?,
        Some(vectors) => {
            gradients_of(w, "weight_gradient_wide", LANES)?;
            gradients_of(w, "weight_gradient_narrow", vectors)?;
            let params = ["base", "gradients", "rows"].map(|name| (name, "u32"));
            by_width(w, "weight_gradient", vectors, &[&params[..], &[("add", "bool"), ("lane", "u32")]].concat())?;
        }
    }
    w.push_str(
        "
// The product sums the deltas too.
fn bias_gradient(layer: Layer, base: u32, gradients: u32, rows: u32, add: bool, lane: u32) {}

fn accumulate(at: u32, sum: vec4<f32>, add: bool) {
  partials[at] = select(vec4<f32>(0.0), partials[at], add) + sum;
}
",
    );
    Ok(())
}

/// Those of the units that `vectors` vectors hold, in turns.
fn gradients_of(w: &mut String, name: &str, vectors: usize) -> Result {
    let head = "
// gradient[j, k] = Σ_r delta[r, j] input[r, k] and that of the bias, Σ_r delta[r, j], added to those of the slabs before
fn NAME(layer: Layer, base: u32, gradients: u32, rows: u32, add: bool, lane: u32) {
  let depth = padded(layer.outputs) / 4u;
  let stride = padded(layer.inputs) / 4u;
  let cols = select(select(0u, 1u, layer.wants_bias), layer.inputs, layer.wants_weight);
  for (var row = 0u; row < layer.outputs; row += ROWSu) {
    for (var first = 0u; first < cols; first += 32u) {
      let col = first + 4u * lane;
      let a_at = (base + layer.delta) / 4u + min(row / 4u + lane, depth - 1u);
      let b_at = (base + layer.input) / 4u + min(col / 4u, stride - 1u);
";
    let tile = 4 * vectors;
    w.push_str(&head.replace("NAME", name).replace("ROWS", &tile.to_string()));
    sums(w, tile)?;
    writeln!(w, "      var bias = vec4<f32>(0.0);")?;
    writeln!(w, "      for (var r = 0u; r < tall(rows); r += 4u) {{")?;
    for t in 0..4 {
        writeln!(w, "        let b{t} = vector_at(b_at + (r + {t}u) * stride);")?;
        writeln!(w, "        let a{t} = vector_at(a_at + (r + {t}u) * depth);")?;
    }
    writeln!(w, "        bias += (a0 + a1) + (a2 + a3);")?;
    for lane in 0..vectors {
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
        "      let end = select(row, min(row + {tile}u, layer.outputs), layer.wants_weight && col < layer.inputs);"
    )?;
    rows(
        w,
        tile,
        "          accumulate((gradients + layer.weight_gradient) / 4u + r * stride + col / 4u, SUM, add);\n",
    )?;
    w.push_str(
        "      // Each lane has summed the deltas of four units.
      if first == 0u && layer.wants_bias && row + 4u * lane < layer.outputs {
        accumulate((gradients + layer.bias_gradient + row) / 4u + lane, bias, add);
      }
    }
  }
}
",
    );
    Ok(())
}

fn sums(w: &mut String, rows: usize) -> Result {
    (0..rows).try_for_each(|r| writeln!(w, "      var c{r} = vec4<f32>(0.0);"))
}

/// Does `what` with the `SUM` of each of `rows` rows.
fn rows(w: &mut String, rows: usize, what: &str) -> Result {
    each_sum(w, "      ", rows, |w, sum| w.write_str(&what.replace("SUM", sum)))
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
