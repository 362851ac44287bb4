//! The text of the matrix product that hands values of `A` round within a subgroup. It is generated because its inner
//! part is unrolled.

use std::fmt::Write;

/// The sizes that the text is unrolled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// Lanes of a subgroup on the adapter, all of the same size.
    pub lanes: u32,
    /// Rows of `C` that a subgroup computes, a multiple of `lanes`.
    pub rows: u32,
    /// Terms of the sums in one turn of the loop.
    pub unroll: u32,
}

impl Broadcast {
    /// Columns of `C` that a subgroup computes.
    pub fn cols(&self) -> u32 {
        self.lanes * 4
    }

    /// The entry point. It calls the form's `a_at` and `b_at` and the epilogue.
    pub fn wgsl(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, w: &mut String) -> std::fmt::Result {
        let Broadcast { lanes, rows, unroll } = *self;
        let cols = self.cols();
        writeln!(
            w,
            "// A workgroup is one subgroup and computes {rows}×{cols} elements, each of its {lanes} lanes all rows of 4 columns."
        )?;
        writeln!(
            w,
            "// A lane loads its columns of B, and of A one row in {lanes}, which goes round by broadcast. What lies past the edge is"
        )?;
        writeln!(
            w,
            "// computed from the last row or column and not stored. The sums run over k in the order of the naive kernel."
        )?;
        writeln!(w, "@compute @workgroup_size({lanes})")?;
        writeln!(
            w,
            "fn main(\n  @builtin(workgroup_id) workgroup: vec3<u32>,\n  @builtin(num_workgroups) count: vec3<u32>,\n  @builtin(subgroup_invocation_id) lane: u32,\n) {{"
        )?;
        writeln!(w, "  let row = workgroup_row(workgroup, count) * {rows}u;")?;
        writeln!(w, "  let col = workgroup.x * {cols}u + lane * 4u;")?;
        for group in 0..rows / lanes {
            writeln!(w, "  let i{group} = min(row + {}u + lane, u.dims.x - 1u);", group * lanes)?;
        }
        for (e, x) in (0..).zip(ELEMENTS) {
            writeln!(w, "  let j{x} = min(col + {e}u, u.dims.y - 1u);")?;
        }
        for r in 0..rows {
            writeln!(w, "  var c{r} = vec4<f32>();")?;
        }
        writeln!(w, "  let whole = u.dims.z - u.dims.z % {unroll}u;")?;
        writeln!(w, "  for (var k = 0u; k < whole; k += {unroll}u) {{")?;
        self.turn(w, unroll)?;
        writeln!(w, "  }}")?;
        if unroll > 1 {
            writeln!(w, "  for (var k = whole; k < u.dims.z; k++) {{")?;
            self.turn(w, 1)?;
            writeln!(w, "  }}")?;
        }
        // A loop, so that the epilogue with its activation is compiled a few times and not for every element.
        let sums: Vec<_> = (0..rows).map(|r| format!("c{r}")).collect();
        writeln!(w, "  var sums = array<vec4<f32>, {rows}>({});", sums.join(", "))?;
        writeln!(w, "  for (var r = 0u; r < min({rows}u, u.dims.x - min(row, u.dims.x)); r++) {{")?;
        for (e, x) in (0..).zip(ELEMENTS) {
            writeln!(w, "    if col + {e}u < u.dims.y {{ epilogue(row + r, col + {e}u, sums[r].{x}); }}")?;
        }
        writeln!(w, "  }}")?;
        writeln!(w, "}}")
    }

    /// `unroll` terms of every sum.
    fn turn(&self, w: &mut String, unroll: u32) -> std::fmt::Result {
        let Broadcast { lanes, rows, .. } = *self;
        for k in 0..unroll {
            let loads = ELEMENTS.map(|x| format!("b[b_at(k + {k}u, j{x})]")).join(", ");
            writeln!(w, "    let b{k} = vec4<f32>({loads});")?;
        }
        for group in 0..rows / lanes {
            for k in 0..unroll {
                writeln!(w, "    let a{group}_{k} = a[a_at(i{group}, k + {k}u)];")?;
            }
            for lane in 0..lanes {
                let r = group * lanes + lane;
                // All terms of a row together: its sums are loaded and stored once where registers are few.
                for k in 0..unroll {
                    writeln!(w, "    let a{r}_of_{k} = vec4<f32>(subgroupBroadcast(a{group}_{k}, {lane}u));")?;
                }
                for k in 0..unroll {
                    writeln!(w, "    c{r} = fma(a{r}_of_{k}, b{k}, c{r});")?;
                }
            }
        }
        Ok(())
    }
}

const ELEMENTS: [&str; 4] = ["x", "y", "z", "w"];
