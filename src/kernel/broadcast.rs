//! The text of the matrix product that hands values of `A` round within a subgroup. It is generated because its inner
//! part is unrolled.

use super::Form;
use std::fmt::Write;

/// The sizes that the text is unrolled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// Lanes of a subgroup on the adapter, all of the same size.
    pub lanes: u32,
    /// Rows of `C` that a subgroup computes, a multiple of `lanes`.
    pub rows: u32,
    /// What a load takes.
    pub load: Load,
}

/// What an invocation loads at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Load {
    /// A number.
    Number,
    /// A vector of four numbers; only where rows are whole vectors.
    Vector,
    /// The same as two 64-bit integers; only where the adapter has those.
    Pairs,
}

impl Broadcast {
    /// Columns of `C` that a subgroup computes.
    pub fn cols(&self) -> u32 {
        self.lanes * 4
    }

    /// Whether matrices are read and written as vectors of four.
    pub fn reads_vectors(&self) -> bool {
        self.load != Load::Number
    }

    /// Iterations of all loops of an invocation.
    pub fn loop_iterations(&self, terms: u64) -> u64 {
        let elements = if self.reads_vectors() { 1 } else { 5 };
        terms / 4 + 3 + u64::from(self.rows) * elements + u64::from(self.rows) / STEP as u64
    }

    /// The entry point. It calls the form's `a_at` and `b_at`, the product's `part_of` and `behind_tiles`, and the epilogue.
    pub fn wgsl(&self, form: Form) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text, form);
        text
    }

    fn write(&self, w: &mut String, form: Form) -> std::fmt::Result {
        let (Broadcast { lanes, rows, .. }, vector) = (*self, self.reads_vectors());
        let cols = self.cols();
        writeln!(
            w,
            "// A workgroup is one subgroup and computes {rows}×{cols} elements, each of its {lanes} lanes all rows of 4 columns."
        )?;
        writeln!(
            w,
            "// A lane loads its columns of B, and its share of the rows of A, which goes round by broadcast. What lies past the"
        )?;
        writeln!(
            w,
            "// edge is computed from the last row or column and not stored. The sums run over k in the order of the naive kernel."
        )?;
        writeln!(w, "@compute @workgroup_size({lanes})")?;
        writeln!(
            w,
            "fn main(\n  @builtin(workgroup_id) workgroup: vec3<u32>,\n  @builtin(num_workgroups) count: vec3<u32>,\n  @builtin(subgroup_invocation_id) lane: u32,\n) {{"
        )?;
        writeln!(w, "  let part = part_of(workgroup, count);")?;
        writeln!(w, "  let row = part.row_of_groups * {rows}u;")?;
        writeln!(w, "  let col = workgroup.x * {cols}u + lane * 4u;")?;
        writeln!(w, "  behind_tiles(workgroup, count, row, {rows}u, lane, {lanes}u);")?;
        if vector {
            self.vector_starts(w, form)?;
        } else {
            self.scalar_starts(w)?;
        }
        for r in 0..rows {
            writeln!(w, "  var c{r} = vec4<f32>(0.0);")?;
        }
        writeln!(w, "  let whole = part.end - (part.end - part.begin) % 4u;")?;
        writeln!(w, "  for (var k = part.begin; k < whole; k += 4u) {{")?;
        if vector {
            self.vector_terms(w, form)?
        } else {
            self.scalar_terms(w, 4)?
        }
        writeln!(w, "  }}")?;
        if form == Form::Tn || !vector {
            writeln!(w, "  for (var k = whole; k < part.end; k++) {{")?;
            if vector {
                self.outer_product(w, 1)?
            } else {
                self.scalar_terms(w, 1)?
            }
            writeln!(w, "  }}")?;
        }
        writeln!(w, "  let end = row + min({rows}u, u.dims.x - min(row, u.dims.x));")?;
        each_sum(w, "  ", rows as usize, |w, sum| {
            if vector {
                return writeln!(w, "      if col < u.dims.y {{ epilogue(part.first_row + r, col, {sum}); }}");
            }
            writeln!(w, "      for (var j = col; j < min(col + 4u, u.dims.y); j++) {{")?;
            writeln!(w, "        epilogue(part.first_row + r, j, {sum}[j - col]);\n      }}")
        })?;
        writeln!(w, "}}")
    }

    /// Rows of `A` that one load of a lane covers: with `k` in rows of memory a vector holds four rows.
    fn rows_per_load(&self, form: Form) -> u32 {
        if self.reads_vectors() && form == Form::Tn { 4 * self.lanes } else { self.lanes }
    }

    /// Where the lane's first vectors lie.
    fn vector_starts(&self, w: &mut String, form: Form) -> std::fmt::Result {
        let along_k =
            |w: &mut String, name: &str, line: String| writeln!(w, "  let {name} = {line} * (u.dims.z / 4u);");
        if form == Form::Tn {
            for load in 0..self.rows.div_ceil(self.rows_per_load(form)) {
                let first = load * self.lanes;
                writeln!(w, "  let i{load} = min(row / 4u + {first}u + lane, u.dims.x / 4u - 1u);")?;
            }
        } else {
            for load in 0..self.rows / self.lanes {
                let first = load * self.lanes;
                along_k(w, &format!("i{load}"), format!("min(row + {first}u + lane, u.dims.x - 1u)"))?;
            }
        }
        if form == Form::Nt {
            for e in 0..4 {
                along_k(w, &format!("j{e}"), format!("min(col + {e}u, u.dims.y - 1u)"))?;
            }
            Ok(())
        } else {
            writeln!(w, "  let j = min(col, u.dims.y - 4u) / 4u;")
        }
    }

    /// Four terms of every sum.
    fn vector_terms(&self, w: &mut String, form: Form) -> std::fmt::Result {
        match form {
            Form::Tn => return self.outer_product(w, 4),
            Form::Nn => {
                for t in 0..4 {
                    writeln!(w, "    let b{t} = operand(b[(k + {t}u) * (u.dims.y / 4u) + j]);")?;
                }
            }
            Form::Nt => {
                for e in 0..4 {
                    writeln!(w, "    let w{e} = operand(b[j{e} + k / 4u]);")?;
                }
                for (t, x) in ELEMENTS.iter().enumerate() {
                    writeln!(w, "    let b{t} = vec4<f32>(w0.{x}, w1.{x}, w2.{x}, w3.{x});")?;
                }
            }
        }
        for load in 0..self.rows / self.lanes {
            writeln!(w, "    let a{load} = operand(a[i{load} + k / 4u]);")?;
            for lane in 0..self.lanes {
                let r = load * self.lanes + lane;
                writeln!(w, "    let a{load}_{lane} = subgroupBroadcast(a{load}, {lane}u);")?;
                // All terms of a row together: its sums are loaded and stored once where registers are few.
                for (t, x) in ELEMENTS.iter().enumerate() {
                    writeln!(w, "    c{r} = fma(vec4<f32>(a{load}_{lane}.{x}), b{t}, c{r});")?;
                }
            }
        }
        Ok(())
    }

    /// `terms` terms of every sum, each from a row of `A` and a row of `B` as they lie in memory.
    fn outer_product(&self, w: &mut String, terms: u32) -> std::fmt::Result {
        for t in 0..terms {
            writeln!(w, "    let b{t} = operand(b[(k + {t}u) * (u.dims.y / 4u) + j]);")?;
        }
        for load in 0..self.rows.div_ceil(self.rows_per_load(Form::Tn)) {
            for t in 0..terms {
                writeln!(w, "    let a{load}_{t} = operand(a[(k + {t}u) * (u.dims.x / 4u) + i{load}]);")?;
            }
            let first = load * self.rows_per_load(Form::Tn);
            for lane in 0..(self.rows - first).min(4 * self.lanes) / 4 {
                for t in 0..terms {
                    writeln!(w, "    let a{load}_{t}_{lane} = subgroupBroadcast(a{load}_{t}, {lane}u);")?;
                }
                for (e, x) in ELEMENTS.iter().enumerate() {
                    let r = first as usize + 4 * lane as usize + e;
                    for t in 0..terms {
                        writeln!(w, "    c{r} = fma(vec4<f32>(a{load}_{t}_{lane}.{x}), b{t}, c{r});")?;
                    }
                }
            }
        }
        Ok(())
    }

    fn scalar_starts(&self, w: &mut String) -> std::fmt::Result {
        for load in 0..self.rows / self.lanes {
            writeln!(w, "  let i{load} = min(row + {}u + lane, u.dims.x - 1u);", load * self.lanes)?;
        }
        for e in 0..4 {
            writeln!(w, "  let j{e} = min(col + {e}u, u.dims.y - 1u);")?;
        }
        Ok(())
    }

    /// `terms` terms of every sum.
    fn scalar_terms(&self, w: &mut String, terms: u32) -> std::fmt::Result {
        for t in 0..terms {
            let loads = [0, 1, 2, 3].map(|e| format!("b[b_at(k + {t}u, j{e})]")).join(", ");
            writeln!(w, "    let b{t} = vec4<f32>({loads});")?;
        }
        for load in 0..self.rows / self.lanes {
            for t in 0..terms {
                writeln!(w, "    let a{load}_{t} = a[a_at(i{load}, k + {t}u)];")?;
            }
            for lane in 0..self.lanes {
                let r = load * self.lanes + lane;
                for t in 0..terms {
                    writeln!(w, "    let a{r}_of_{t} = vec4<f32>(subgroupBroadcast(a{load}_{t}, {lane}u));")?;
                }
                for t in 0..terms {
                    writeln!(w, "    c{r} = fma(a{r}_of_{t}, b{t}, c{r});")?;
                }
            }
        }
        Ok(())
    }
}

/// Sums that [`each_sum`] moves up at once: a number that makes the moves few.
const STEP: usize = 4;

/// Does `what` with the sum of each row `r` from `row` to `end`, of the `rows` variables `c0`, `c1`, …, a multiple of
/// [`STEP`]. It is a loop so that `what` is compiled once and not for every row, and the sums move up in it: what drivers
/// make of an array takes them several times as long to compile as all the rest. Nor does it begin at a constant, or Mesa
/// would unroll it.
pub(super) fn each_sum(
    w: &mut String,
    indent: &str,
    rows: usize,
    what: impl FnOnce(&mut String, &str) -> std::fmt::Result,
) -> std::fmt::Result {
    let moved = |name: &str, count: usize, by: usize| {
        (0..count).map(|i| format!("{name}{i} = {name}{};", i + by)).collect::<Vec<_>>().join(" ")
    };
    writeln!(w, "{indent}for (var first_row = row; first_row < end; first_row += {STEP}u) {{")?;
    for i in 0..STEP {
        writeln!(w, "{indent}  var next{i} = c{i};")?;
    }
    writeln!(w, "{indent}  for (var r = first_row; r < min(first_row + {STEP}u, end); r++) {{")?;
    what(w, "next0")?;
    writeln!(w, "{indent}    {}", moved("next", STEP - 1, 1))?;
    writeln!(w, "{indent}  }}")?;
    if rows > STEP {
        writeln!(w, "{indent}  {}", moved("c", rows - STEP, STEP))?;
    }
    writeln!(w, "{indent}}}")
}

const ELEMENTS: [&str; 4] = ["x", "y", "z", "w"];
