//! The text of the matrix product by cooperative matrices. It is generated because WGSL has no arrays of them, and no
//! sizes but literal ones.

use std::fmt::Write;

/// The sizes that the text is generated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cooperative {
    /// Rows and columns of a cooperative matrix: 8 or 16, or 4 where they are emulated.
    pub size: u32,
    /// Lanes of a subgroup on the adapter, all of the same size.
    pub lanes: u32,
    /// Matrices beside each other in the square that a subgroup computes.
    pub across: u32,
    /// Whether operands are read as vectors of four; only where their rows are whole vectors.
    pub vector: bool,
    /// Whether the operations on matrices are written out, each lane doing all of them: slow, and the same text around
    /// them, which so runs everywhere.
    pub emulated: bool,
}

/// Terms of the sums that pass through workgroup memory at a time.
const DEPTH: u32 = 32;

/// Elements from one row of a strip in workgroup memory to the next: rows then begin in different banks, and still at
/// multiples of 16 bytes, as Vulkan demands.
const STRIDE: u32 = DEPTH + 8;

impl Cooperative {
    /// What runs without matrix units, for checking.
    pub const EMULATED: Cooperative = Cooperative { size: 4, lanes: 4, across: 2, vector: false, emulated: true };

    /// For matrices of `size` × `size` on subgroups of `lanes`: a subgroup computes 32×32 elements.
    pub fn new(size: u32, lanes: u32) -> Self {
        Cooperative { size, lanes, across: 32 / size, vector: false, emulated: false }
    }

    /// With twice as many matrices in each direction: half as many loads for a product, and four times the sums, which
    /// take registers.
    pub fn enlarged(self) -> Self {
        Cooperative { across: 2 * self.across, ..self }
    }

    /// Whether its tiles are those of [`Cooperative::enlarged`].
    pub fn is_enlarged(&self) -> bool {
        let usual = if self.emulated { Cooperative::EMULATED } else { Cooperative::new(self.size, self.lanes) };
        self.across > usual.across
    }

    /// Bytes of workgroup memory of a kernel: of strips, finished matrices, and a fused step's results.
    pub fn workgroup_bytes(&self) -> u32 {
        2 * 2 * self.tile() * STRIDE + 4 * 4 * self.size * self.size + 8 * self.workgroup()
    }

    /// The same on vectors of four.
    pub fn on_vectors(self) -> Self {
        Cooperative { vector: true, ..self }
    }

    /// Rows and columns of `C` that a workgroup computes: four subgroups, two across.
    pub fn tile(&self) -> u32 {
        2 * self.across * self.size
    }

    /// Iterations of all loops that an invocation takes for sums of so many terms.
    pub(super) fn loop_iterations(&self, terms: u64) -> u64 {
        let loads = u64::from((self.tile() * DEPTH).div_ceil(4 * self.lanes));
        let products = u64::from(DEPTH / self.size);
        // Emulated, a row is stored at a time.
        let stored = u64::from(self.across * self.across * (self.size * self.size / self.lanes + self.size));
        terms.div_ceil(u64::from(DEPTH)) * (1 + loads + products) + stored
    }

    /// Invocations of a workgroup.
    pub(super) fn workgroup(&self) -> u32 {
        4 * self.lanes
    }

    /// What the text needs enabled.
    pub(super) fn enable(&self) -> &'static str {
        match self.emulated {
            true => "enable f16;\n",
            false => "enable f16;\nenable wgpu_cooperative_matrix;\n",
        }
    }

    /// Constants, memory, what is done with matrices, and the function `tile(part, row, col, local)`, which computes one of
    /// `C`. It calls `load_strips`, `is_inside` and `store` with a `Part` of which it knows `begin` and `end`, the terms of
    /// the sums.
    pub(super) fn write_tile(&self, w: &mut String) -> std::fmt::Result {
        let Cooperative { size, lanes, across, .. } = *self;
        let (tile, side) = (self.tile(), across * size);
        writeln!(w, "const TILE: u32 = {tile}u;\nconst SIDE: u32 = {side}u;\nconst SIZE: u32 = {size}u;")?;
        writeln!(w, "const LANES: u32 = {lanes}u;\nconst DEPTH: u32 = {DEPTH}u;\nconst STRIDE: u32 = {STRIDE}u;\n")?;
        writeln!(w, "var<workgroup> a_strip: array<f16, {}>;", tile * STRIDE)?;
        writeln!(w, "var<workgroup> b_strip: array<f16, {}>;", tile * STRIDE)?;
        writeln!(w, "var<workgroup> finished: array<f32, {}>;\n", 4 * size * size)?;
        self.operations(w)?;
        writeln!(w, "{}", include_str!("../../shaders/half/tile.wgsl"))?;
        writeln!(w, "fn tile(part: Part, row: u32, col: u32, local: u32) {{")?;
        // That subgroups are full and have neighbouring invocations is what the self-test finds out.
        writeln!(w, "  let subgroup = local / LANES;")?;
        writeln!(w, "  let i0 = subgroup / 2u * SIDE;\n  let j0 = subgroup % 2u * SIDE;")?;
        for (i, j) in self.matrices() {
            writeln!(w, "  var c{i}_{j} = MatrixC();")?;
        }
        writeln!(w, "  for (var k0 = part.begin; k0 < part.end; k0 += DEPTH) {{")?;
        writeln!(w, "    load_strips(part, row, col, k0, local);\n    workgroupBarrier();")?;
        writeln!(w, "    for (var k = 0u; k < DEPTH; k += SIZE) {{")?;
        for i in 0..across {
            writeln!(w, "      let a{i} = {};", self.load("A", &format!("i0 + {}u", i * size)))?;
        }
        for j in 0..across {
            writeln!(w, "      let b{j} = {};", self.load("B", &format!("j0 + {}u", j * size)))?;
        }
        for (i, j) in self.matrices() {
            let multiply_add = if self.emulated { "multiply_add" } else { "coopMultiplyAdd" };
            writeln!(w, "      c{i}_{j} = {multiply_add}(a{i}, b{j}, c{i}_{j});")?;
        }
        writeln!(w, "    }}\n    workgroupBarrier();\n  }}")?;
        for (i, j) in self.matrices() {
            match self.emulated {
                true => writeln!(w, "  if local % LANES == 0u {{ store_c(c{i}_{j}, subgroup * SIZE * SIZE); }}")?,
                false => writeln!(w, "  coopStoreT(c{i}_{j}, &finished[subgroup * SIZE * SIZE], SIZE);")?,
            }
            let place = format!("row + i0 + {}u, col + j0 + {}u", i * size, j * size);
            writeln!(w, "  finish(part, subgroup, local % LANES, {place});")?;
        }
        writeln!(w, "}}")
    }

    /// The layer-wise product's entry point, and what comes before it. It calls `a_of`, `b_of` and the epilogue.
    pub fn wgsl(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_tile(&mut text);
        text += match self.vector {
            true => include_str!("../../shaders/half/matmul/strips_of_vectors.wgsl"),
            false => include_str!("../../shaders/half/matmul/strips.wgsl"),
        };
        text += include_str!("../../shaders/half/matmul/cooperative.wgsl");
        text
    }

    /// The matrices of a subgroup, row by row.
    fn matrices(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        let across = self.across;
        (0..across).flat_map(move |i| (0..across).map(move |j| (i, j)))
    }

    /// Loads the matrix whose first row, or column, of a strip is `first`. A strip has A's rows and B's columns as rows.
    fn load(&self, role: &str, first: &str) -> String {
        let strip = role.to_lowercase();
        let at = format!("({first}) * STRIDE + k");
        match (self.emulated, role) {
            (true, _) => format!("load_{strip}({at})"),
            (false, "A") => format!("coopLoadT<MatrixA>(&{strip}_strip[{at}], STRIDE)"),
            (false, _) => format!("coopLoad<MatrixB>(&{strip}_strip[{at}], STRIDE)"),
        }
    }

    /// The types of matrices, and what is done with them where they are emulated.
    fn operations(&self, w: &mut String) -> std::fmt::Result {
        let size = self.size;
        if self.emulated {
            for role in ["A", "B", "C"] {
                writeln!(w, "alias Matrix{role} = mat{size}x{size}<f32>;")?;
            }
            w.push_str(include_str!("../../shaders/half/matmul/emulated.wgsl"));
            return writeln!(w);
        }
        for (role, scalar) in [("A", "f16"), ("B", "f16"), ("C", "f32")] {
            writeln!(w, "alias Matrix{role} = coop_mat{size}x{size}<{scalar}, {role}>;")?;
        }
        writeln!(w)
    }
}

impl std::fmt::Display for Cooperative {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Cooperative { size, lanes, vector, emulated, .. } = self;
        match emulated {
            true => write!(f, "emulated{size}x{size}")?,
            false => write!(f, "cooperative{size}x{size}x{lanes}")?,
        }
        if self.is_enlarged() {
            write!(f, "t{}", self.tile())?;
        }
        f.write_str(if *vector { "v" } else { "" })
    }
}
