//! The ways to run a kernel on a GPU, and which one where nothing was measured.

use super::{Broadcast, Cooperative, Epilogue, Form, Kernel, Load, tiled_vector};

/// Lanes of a software rasteriser's subgroups that texts are unrolled for.
pub(crate) const SOFTWARE_LANES: u32 = 8;

/// What an adapter can do that decides which variants there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// The size of its subgroups; `None` where it has none or their size may change.
    pub subgroup: Option<u32>,
    /// For a software rasteriser whose subgroups of eight lanes are a vector of a CPU: how it loads four numbers. What counts
    /// there is few loads per multiplication, and a barrier costs more than what it saves. A GPU's invocations share workgroup
    /// memory better.
    pub software: Option<Load>,
}

impl Abilities {
    /// Those of a GPU with subgroups of `lanes`.
    pub fn of_subgroup(lanes: u32) -> Self {
        Abilities { subgroup: Some(lanes), software: None }
    }

    /// Those of a software rasteriser that loads four numbers so.
    pub fn of_software(load: Load) -> Self {
        Abilities { subgroup: Some(SOFTWARE_LANES), software: Some(load) }
    }

    /// Whether it is a software rasteriser.
    pub fn is_software(self) -> bool {
        self.software.is_some()
    }

    /// How vectors are loaded.
    pub(super) fn load(self) -> Load {
        self.software.unwrap_or(Load::Vector)
    }
}

/// One way to run a kernel on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// The shortest text: the specification. Every kernel has it.
    Naive,
    /// Tiles of 64×64 through workgroup memory.
    Tiled,
    /// Tiles of so many rows and columns through workgroup memory, as vectors of four; only where rows are whole vectors.
    TiledVector(u32),
    /// Tiles of 16×16 whose sums are divided among the invocations of a workgroup: for matrices that have few tiles.
    Sliced,
    /// [`Variant::Sliced`] on vectors of four; only where rows are whole vectors.
    SlicedVector,
    /// Values of `A` handed round within a subgroup; only where the adapter has subgroups of one size.
    Broadcast(Broadcast),
    /// Tiles by cooperative matrices, a GPU's matrix units; only where the adapter has them, or emulated.
    Cooperative(Cooperative),
    /// Rows are strided over the invocations of a workgroup.
    Strided,
    /// The naive text on vectors of four; only where sizes are multiples of four.
    Vector,
    /// [`Variant::Strided`] on vectors of four; only where columns are a multiple of four. In an update each invocation takes
    /// several vectors, and reads the rates once.
    StridedVector,
    /// So many neighbouring invocations share a row; a resident network has a workgroup of so many.
    Lanes(u32),
    /// One invocation with every number in a register.
    Registers,
}

impl Variant {
    /// How many elements an invocation of an update takes: numbers, or vectors where it reads those.
    pub(super) fn turns(self) -> u32 {
        if self == Variant::StridedVector { 4 } else { 1 }
    }

    /// Whether its text reads and writes vectors of four numbers.
    pub(crate) fn reads_vectors(self) -> bool {
        match self {
            Variant::Broadcast(broadcast) => broadcast.reads_vectors(),
            Variant::TiledVector(_) | Variant::SlicedVector | Variant::Vector | Variant::StridedVector => true,
            Variant::Naive
            | Variant::Tiled
            | Variant::Sliced
            | Variant::Cooperative(_)
            | Variant::Strided
            | Variant::Lanes(_)
            | Variant::Registers => false,
        }
    }
}

impl std::fmt::Display for Variant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Variant::Naive => f.pad("naive"),
            Variant::Tiled => f.pad("tiled"),
            Variant::TiledVector(tile) => f.pad(&format!("tiled{tile}v")),
            Variant::Sliced => f.pad("sliced"),
            Variant::SlicedVector => f.pad("slicedv"),
            Variant::Broadcast(b) => {
                let load = match b.load {
                    Load::Number => "",
                    Load::Vector => "v",
                    Load::Pairs => "p",
                };
                f.pad(&format!("broadcast{}x{}{load}", b.rows, b.cols()))
            }
            Variant::Cooperative(c) => f.pad(&c.to_string()),
            Variant::Strided => f.pad("strided"),
            Variant::Vector => f.pad("vector"),
            Variant::StridedVector => f.pad("strided-vector"),
            Variant::Lanes(lanes) => f.pad(&format!("lanes{lanes}")),
            Variant::Registers => f.pad("registers"),
        }
    }
}

/// Multiplications below which a software rasteriser takes less for a product by the naive text than for handing it over,
/// and compiles that in a tenth of a second less.
const LEAST_UNROLLED: f64 = 16384.0;

/// Tiles with which a matrix product keeps a GPU busy: a small one has ten to twenty processors, a large one above a hundred.
const LEAST_TILES: u64 = 128;

/// Terms of sums that are worth dividing.
pub(super) const LEAST_SLICED: u32 = 16;

/// Losses that one lane of a software rasteriser sums in less time than handing a dispatch over takes.
const MOST_IN_TURN: u32 = 8192;

/// The largest tile of a matrix product of which there are enough to keep a GPU busy.
pub(super) fn largest_tile(epilogue: Epilogue, [m, n, _, parts]: [u32; 4]) -> Option<u32> {
    let parts = if epilogue == Epilogue::Parts { parts } else { 1 };
    let tiles = |tile: u32| [m.div_ceil(tile), n.div_ceil(tile), parts].into_iter().map(u64::from).product::<u64>();
    tiled_vector::TILES.into_iter().rev().find(|&tile| tiles(tile) >= LEAST_TILES)
}

impl Kernel {
    /// The variants for an adapter, the naive one first.
    pub fn variants(&self, abilities: Abilities) -> Vec<Variant> {
        match self {
            Kernel::Matmul { .. } => {
                // Sixty-four lanes would have more sums each than they have registers.
                let lanes = abilities.subgroup.filter(|lanes| (4..=32).contains(lanes));
                let of = |lanes| {
                    let broadcast = move |rows, load| Variant::Broadcast(Broadcast { lanes, rows, load });
                    let most = [16, 24, 32].into_iter().filter(move |rows| rows % lanes == 0);
                    std::iter::once(broadcast(lanes, Load::Number))
                        .chain(most.map(move |rows| broadcast(rows, abilities.load())))
                };
                [Variant::Naive, Variant::Tiled, Variant::Sliced, Variant::SlicedVector]
                    .into_iter()
                    .chain(tiled_vector::TILES.map(Variant::TiledVector))
                    .chain(lanes.into_iter().flat_map(of))
                    .collect()
            }
            Kernel::Loss { .. } => {
                std::iter::once(Variant::Naive).chain([4, 16, 64, 256].map(Variant::Lanes)).collect()
            }
            Kernel::LossSum => vec![Variant::Naive, Variant::Lanes(256)],
            Kernel::ColumnSum => vec![Variant::Naive, Variant::Strided, Variant::Vector, Variant::StridedVector],
            Kernel::Update(_) => vec![Variant::Naive, Variant::Vector, Variant::StridedVector],
            Kernel::Treatment(treatment) => treatment.variants(),
            Kernel::Mixed(mixed) => mixed.variants(),
            Kernel::Resident(resident) => {
                let registers = resident.is_tiny().then_some(Variant::Registers);
                let lanes = [16, 64, 256].map(Variant::Lanes);
                std::iter::once(Variant::Naive).chain(lanes).chain(registers).collect()
            }
            Kernel::Fused(fused) => fused.variants(abilities),
            Kernel::Block(block) => block.variants(),
            Kernel::Gather | Kernel::FusedSum(_) | Kernel::Jet(_) => vec![Variant::Naive],
        }
    }

    /// Whether `variant` can run for these sizes.
    pub fn runs(&self, variant: Variant, dims: [u32; 4]) -> bool {
        match (self, variant) {
            (Kernel::Mixed(mixed), variant) => mixed.runs(variant, dims),
            (Kernel::Matmul { form, .. }, variant) => !variant.reads_vectors() || form.rows_are_vectors(dims),
            (Kernel::Fused(_), Variant::Cooperative(matrices)) => !matrices.vector,
            (Kernel::ColumnSum, Variant::Vector | Variant::StridedVector) => dims[1].is_multiple_of(4),
            (_, Variant::Vector | Variant::StridedVector) => dims[0].is_multiple_of(4),
            _ => true,
        }
    }

    /// The variant to run for these sizes where nothing was measured.
    pub fn heuristic(&self, dims: [u32; 4], abilities: Abilities) -> Variant {
        let [x, y, z, _] = dims;
        let software = abilities.is_software();
        let operations = f64::from(x) * f64::from(y) * f64::from(z);
        match self {
            Kernel::Matmul { .. } if software && operations < LEAST_UNROLLED => Variant::Naive,
            Kernel::Matmul { form, .. } if software && x.min(y) >= 4 => {
                // What few rows do not fill is computed in vain.
                let wasteful = u64::from(x.next_multiple_of(24)) * 20 > u64::from(x) * 21;
                let rows = if *form == Form::Tn || wasteful || abilities.load() == Load::Pairs { 32 } else { 24 };
                let vector = Broadcast { lanes: SOFTWARE_LANES, rows, load: abilities.load() };
                let scalar = Broadcast { lanes: SOFTWARE_LANES, rows: SOFTWARE_LANES, load: Load::Number };
                Variant::Broadcast(if form.rows_are_vectors(dims) { vector } else { scalar })
            }
            Kernel::Matmul { .. } if software => Variant::Naive,
            Kernel::Matmul { form, epilogue } => match (form.rows_are_vectors(dims), largest_tile(*epilogue, dims)) {
                (true, None) if z >= LEAST_SLICED => Variant::SlicedVector,
                (false, None) if z >= LEAST_SLICED => Variant::Sliced,
                (_, None) => Variant::Naive,
                _ if x.min(y) < 8 => Variant::Naive,
                (true, Some(tile)) => Variant::TiledVector(tile),
                (false, Some(_)) => Variant::Tiled,
            },
            Kernel::Loss { .. } => match y {
                _ if software => Variant::Naive,
                0..=2 => Variant::Naive,
                3..=8 => Variant::Lanes(4),
                9..=64 => Variant::Lanes(16),
                65..=256 => Variant::Lanes(64),
                _ => Variant::Lanes(256),
            },
            Kernel::Fused(fused) => fused.heuristic(abilities),
            Kernel::LossSum if software && x <= MOST_IN_TURN => Variant::Naive,
            Kernel::LossSum if x > 1 => Variant::Lanes(256),
            Kernel::ColumnSum => match (x >= 16 && !software, y.is_multiple_of(4)) {
                (false, false) => Variant::Naive,
                (false, true) => Variant::Vector,
                (true, false) => Variant::Strided,
                (true, true) => Variant::StridedVector,
            },
            Kernel::Update(_) if x.is_multiple_of(4) && software => Variant::StridedVector,
            Kernel::Update(_) if x.is_multiple_of(4) => Variant::Vector,
            Kernel::Treatment(treatment) => treatment.heuristic(dims),
            Kernel::Mixed(mixed) => mixed.heuristic(dims),
            Kernel::Block(block) => block.heuristic(dims, abilities),
            Kernel::Resident(resident) => resident.heuristic(x, abilities),
            _ => Variant::Naive,
        }
    }
}

/// Invocations of a resident network's workgroup; `None` where the one has its numbers in registers.
pub(super) fn lanes_of(variant: Variant) -> Option<u32> {
    match variant {
        Variant::Registers => None,
        Variant::Lanes(lanes) => Some(lanes),
        _ => Some(1),
    }
}
