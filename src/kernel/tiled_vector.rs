//! The text of the matrix product for GPUs with many invocations: tiles through workgroup memory, all loads vectors of four.
//! It is generated because its inner part is unrolled.

use super::Form;
use std::fmt::Write;

/// Rows and columns of the tiles there are texts for. The large one has more multiplications for each load, the small one
/// fills a GPU with smaller matrices.
pub const TILES: [u32; 2] = [64, 128];

/// Iterations of all loops of an invocation.
pub fn loop_iterations(terms: u64) -> u64 {
    terms.div_ceil(16) * (1 + 4 + 4) + 8
}

/// The entry point for a `tile` of [`TILES`]. It calls the product's `part_of` and `behind_tiles`, and the epilogue.
pub fn wgsl(form: Form, tile: u32) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, form, tile);
    text
}

const HEAD: &str = "\
// Strips of A and B, 16 terms deep, pass through workgroup memory as vectors of four terms; half of the invocations load A,
// half B, each a block of 4×4. Rows are placed so that neighbouring invocations read neighbouring vectors. The sums run over k
// in the order of the naive kernel.
var<workgroup> a_strip: array<vec4<f32>, 4u * TILE>;
var<workgroup> b_strip: array<vec4<f32>, 4u * TILE>;

// Where a strip holds terms 4 depth .. 4 depth + 3 of a row of the tile.
fn place(row: u32, depth: u32) -> u32 {
  return depth * TILE + (row % 4u) * (TILE / 4u) + row / 4u;
}
";

/// A lane's block of an operand whose rows are contiguous in `k`: one vector each of four rows.
const ALONG_K: &str = "\
  for (var r = 0u; r < 4u; r++) {
    let i = at / 4u + TILE / 4u * r;
    var terms = vec4<f32>(0.0);
    if first + i < ROWS && k + 4u * (at % 4u) < end {
      terms = OPERAND[(first + i) * (u.dims.z / 4u) + k / 4u + at % 4u];
    }
    STRIP[place(i, at % 4u)] = terms;
  }
";

/// A lane's block of an operand whose columns are contiguous in memory: four terms of four rows, transposed.
const ALONG_ROWS: &str = "\
  let i = 4u * (at % (TILE / 4u));
  let depth = at / (TILE / 4u);
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
@compute @workgroup_size(16, TILE / 8u)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_id) id: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let part = part_of(workgroup, count);
  let first_row = part.row_of_groups * TILE;
  let first_col = workgroup.x * TILE;
  behind_tiles(workgroup, count, first_row, TILE, local, 2u * TILE);
";

fn write(w: &mut String, form: Form, tile: u32) -> std::fmt::Result {
    // An invocation's columns lie side by side by fours, its rows too.
    let columns = tile / 64;
    let elements = 4 * columns;
    writeln!(
        w,
        "// A workgroup computes a {tile}×{tile} tile, each of its 16×{} invocations 8×{elements} elements.",
        tile / 8
    )?;
    writeln!(w, "const TILE: u32 = {tile}u;\n\n{HEAD}")?;
    let operands = [("a", "u.dims.x", form != Form::Tn), ("b", "u.dims.y", form == Form::Nt)];
    for (operand, rows, along_k) in operands {
        let body = if along_k { ALONG_K } else { ALONG_ROWS };
        let strip = format!("{operand}_strip");
        let body = body.replace("OPERAND", operand).replace("STRIP", &strip).replace("ROWS", rows);
        writeln!(w, "fn load_{operand}(first: u32, k: u32, end: u32, at: u32) {{\n{body}}}\n")?;
    }
    write!(w, "{MAIN}")?;
    for r in 0..8 {
        for column in 0..columns {
            writeln!(w, "  var c{r}_{column} = vec4<f32>(0.0);")?;
        }
    }
    writeln!(w, "  for (var k = part.begin; k < part.end; k += 16u) {{")?;
    writeln!(w, "    if local < TILE {{\n      load_a(first_row, k, part.end, local);\n    }} else {{")?;
    writeln!(w, "      load_b(first_col, k, part.end, local - TILE);\n    }}\n    workgroupBarrier();")?;
    writeln!(w, "    for (var depth = 0u; depth < 4u; depth++) {{")?;
    for column in 0..columns {
        for e in 0..4 {
            writeln!(w, "      let w{column}_{e} = b_strip[place(4u * id.x + {}u, depth)];", 64 * column + e)?;
        }
        for (t, x) in ["x", "y", "z", "w"].iter().enumerate() {
            let values = [0, 1, 2, 3].map(|e| format!("w{column}_{e}.{x}")).join(", ");
            writeln!(w, "      let b{column}_{t} = vec4<f32>({values});")?;
        }
    }
    for r in 0..8 {
        writeln!(w, "      let a{r} = a_strip[place(4u * id.y + {}u, depth)];", tile / 2 * (r / 4) + r % 4)?;
        for column in 0..columns {
            for (t, x) in ["x", "y", "z", "w"].iter().enumerate() {
                writeln!(w, "      c{r}_{column} = fma(vec4<f32>(a{r}.{x}), b{column}_{t}, c{r}_{column});")?;
            }
        }
    }
    writeln!(w, "    }}\n    workgroupBarrier();\n  }}")?;
    let sums: Vec<_> = (0..8).flat_map(|r| (0..columns).map(move |column| format!("c{r}_{column}"))).collect();
    writeln!(w, "  var sums = array<vec4<f32>, {}>({});", sums.len(), sums.join(", "))?;
    writeln!(w, "  for (var r = 0u; r < 8u; r++) {{")?;
    writeln!(w, "    let i = first_row + TILE / 2u * (r / 4u) + 4u * id.y + r % 4u;")?;
    for column in 0..columns {
        writeln!(w, "    let j{column} = first_col + {}u + 4u * id.x;", 64 * column)?;
        writeln!(w, "    if i < u.dims.x && j{column} < u.dims.y {{")?;
        writeln!(w, "      epilogue(part.first_row + i, j{column}, sums[{columns}u * r + {column}u]);\n    }}")?;
    }
    writeln!(w, "  }}\n}}")
}
