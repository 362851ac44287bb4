//! The text of the matrix product for GPUs with many invocations: large tiles through workgroup memory, all loads vectors
//! of four. It is generated because its inner part is unrolled.

use super::Form;
use std::fmt::Write;

/// Rows and columns of the tile that a workgroup of 16×16 invocations computes.
pub const TILE: u32 = 128;

/// Iterations of all loops of an invocation.
pub fn loop_iterations(terms: u64) -> u64 {
    terms.div_ceil(16) * 5 + 8
}

/// The entry point. It calls the product's `part_of` and `behind_tiles`, and the epilogue.
pub fn wgsl(form: Form) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, form);
    text
}

const HEAD: &str = "\
// A workgroup computes a 128×128 tile, each of its 16×16 invocations 8×8 elements. Strips of A and B, 16 terms deep, pass
// through workgroup memory as vectors of four terms; half of the invocations load A, half B, each a block of 4×4. Rows are
// placed so that neighbouring invocations read neighbouring vectors. The sums run over k in the order of the naive kernel.
var<workgroup> a_strip: array<vec4<f32>, 512>;
var<workgroup> b_strip: array<vec4<f32>, 512>;

// Where a strip holds terms 4 depth .. 4 depth + 3 of a row of the tile.
fn place(row: u32, depth: u32) -> u32 {
  return depth * 128u + (row % 4u) * 32u + row / 4u;
}
";

/// A lane's block of an operand whose rows are contiguous in `k`: one vector each of four rows.
const ALONG_K: &str = "\
  for (var r = 0u; r < 4u; r++) {
    let i = at / 4u + 32u * r;
    var terms = vec4<f32>(0.0);
    if first + i < ROWS && k + 4u * (at % 4u) < end {
      terms = OPERAND[(first + i) * (u.dims.z / 4u) + k / 4u + at % 4u];
    }
    STRIP[place(i, at % 4u)] = terms;
  }
";

/// A lane's block of an operand whose columns are contiguous in memory: four terms of four rows, transposed.
const ALONG_ROWS: &str = "\
  let i = 4u * (at % 32u);
  let depth = at / 32u;
  var block = array<vec4<f32>, 4>();
  for (var t = 0u; t < 4u; t++) {
    let term = k + 4u * depth + t;
    if first + i < ROWS && term < end {
      block[t] = OPERAND[term * (ROWS / 4u) + (first + i) / 4u];
    }
  }
  STRIP[place(i, depth)] = vec4<f32>(block[0].x, block[1].x, block[2].x, block[3].x);
  STRIP[place(i + 1u, depth)] = vec4<f32>(block[0].y, block[1].y, block[2].y, block[3].y);
  STRIP[place(i + 2u, depth)] = vec4<f32>(block[0].z, block[1].z, block[2].z, block[3].z);
  STRIP[place(i + 3u, depth)] = vec4<f32>(block[0].w, block[1].w, block[2].w, block[3].w);
";

const MAIN: &str = "\
@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_id) id: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let part = part_of(workgroup, count);
  let first_row = part.row_of_groups * 128u;
  let first_col = workgroup.x * 128u;
  behind_tiles(workgroup, count, first_row, 128u, local, 256u);
";

fn write(w: &mut String, form: Form) -> std::fmt::Result {
    w.write_str(HEAD)?;
    let operands = [("a", "u.dims.x", form != Form::Tn), ("b", "u.dims.y", form == Form::Nt)];
    for (operand, rows, along_k) in operands {
        let body = if along_k { ALONG_K } else { ALONG_ROWS };
        let strip = format!("{operand}_strip");
        let body = body.replace("OPERAND", operand).replace("STRIP", &strip).replace("ROWS", rows);
        writeln!(w, "\nfn load_{operand}(first: u32, k: u32, end: u32, at: u32) {{\n{body}}}")?;
    }
    write!(w, "\n{MAIN}")?;
    for r in 0..8 {
        writeln!(w, "  var c{r}_0 = vec4<f32>(0.0);\n  var c{r}_1 = vec4<f32>(0.0);")?;
    }
    writeln!(w, "  for (var k = part.begin; k < part.end; k += 16u) {{")?;
    writeln!(w, "    if local < 128u {{\n      load_a(first_row, k, part.end, local);\n    }} else {{")?;
    writeln!(w, "      load_b(first_col, k, part.end, local - 128u);\n    }}\n    workgroupBarrier();")?;
    writeln!(w, "    for (var depth = 0u; depth < 4u; depth++) {{")?;
    for half in 0..2 {
        for e in 0..4 {
            writeln!(w, "      let w{half}_{e} = b_strip[place(4u * id.x + {}u, depth)];", 64 * half + e)?;
        }
        for (t, x) in ["x", "y", "z", "w"].iter().enumerate() {
            let columns = [0, 1, 2, 3].map(|e| format!("w{half}_{e}.{x}")).join(", ");
            writeln!(w, "      let b{half}_{t} = vec4<f32>({columns});")?;
        }
    }
    for r in 0..8 {
        writeln!(w, "      let a{r} = a_strip[place(4u * id.y + {}u, depth)];", 64 * (r / 4) + r % 4)?;
        for half in 0..2 {
            for (t, x) in ["x", "y", "z", "w"].iter().enumerate() {
                writeln!(w, "      c{r}_{half} = fma(vec4<f32>(a{r}.{x}), b{half}_{t}, c{r}_{half});")?;
            }
        }
    }
    writeln!(w, "    }}\n    workgroupBarrier();\n  }}")?;
    let sums: Vec<_> = (0..8).flat_map(|r| [format!("c{r}_0"), format!("c{r}_1")]).collect();
    writeln!(w, "  var sums = array<vec4<f32>, 16>({});", sums.join(", "))?;
    writeln!(w, "  for (var r = 0u; r < 8u; r++) {{")?;
    writeln!(w, "    let i = first_row + 64u * (r / 4u) + 4u * id.y + r % 4u;")?;
    for half in 0..2 {
        writeln!(w, "    let j{half} = first_col + {}u + 4u * id.x;", 64 * half)?;
        writeln!(
            w,
            "    if i < u.dims.x && j{half} < u.dims.y {{ epilogue(part.first_row + i, j{half}, sums[2u * r + {half}u]); }}"
        )?;
    }
    writeln!(w, "  }}\n}}")
}
