//! The registry of kernels: for each one its stem, bindings, WGSL text, variants and workgroup counts. The twin of a
//! kernel on the CPU bears its stem in [`crate::cpu`].

pub mod block;
mod broadcast;
mod cooperative;
pub mod fused;
pub mod jet;
pub mod mixed;
pub mod resident;
mod tiled_vector;
pub mod treatment;
mod whole;

pub use block::{Block, Over};
pub use broadcast::Broadcast;
pub use cooperative::Cooperative;
pub use fused::{Fused, FusedSum};
pub use jet::{Jet, JetPass};
pub use mixed::Mixed;
pub use resident::Resident;
pub use treatment::Treatment;
pub use whole::Whole;

use crate::activation::{Activation, Stored};
use crate::graph::PRELUDE;
use crate::loss::Loss;
use crate::network::Bias;
use crate::optimizer::Rule;
use crate::plan::ScheduleEntry;
use std::sync::Arc;

/// A kernel with what its text is compiled for. Sizes come with each dispatch in a [`Uniform`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Gathers a batch by index from the data set: `dims = [batch, inputs, outputs]`.
    Gather,
    /// `C = epilogue(A · B)` in one of three forms: `dims = [m, n, k]`, and the parts of [`Epilogue::Parts`].
    Matmul {
        /// Which operand is transposed.
        form: Form,
        /// What happens to each sum before it is stored.
        epilogue: Epilogue,
    },
    /// The loss of each row and, in place of the output, its delta: `dims = [rows, cols, weights]`. Behind the targets of a
    /// row stands its weight, where there are such: `weights` is 1 then, else 0.
    Loss {
        /// The loss.
        loss: Loss,
        /// The activation of the output layer, whose derivative is a factor of the delta.
        activation: Activation,
    },
    /// Sums the row losses into this step's loss and advances the clock: `dims = [rows]`.
    LossSum,
    /// The sum of each column of `[rows, cols]`, the bias gradient from a delta: `dims = [rows, cols]`.
    ColumnSum,
    /// The optimizer's update over a run of the parameter arena: `dims = [length]`.
    Update(Rule),
    /// A kernel around the update; its sizes stand at [`Treatment`].
    Treatment(Treatment),
    /// A kernel of mixed precision.
    Mixed(Mixed),
    /// Whole training steps of a network that stays in one workgroup: `dims = [batch, steps, rows of the data set, weights]`,
    /// the last as for [`Kernel::Loss`].
    Resident(Arc<Resident>),
    /// Forward, or forward, loss and backward, of parts of the batch: `dims = [batch, rows of a part, weights]`, the last as
    /// for [`Kernel::Loss`].
    Fused(Arc<Fused>),
    /// The sums of the parts' gradients, stored or used for the update: `dims = [parts, first, length]`.
    FusedSum(Arc<FusedSum>),
    /// A kernel between matrix products of jets; its sizes stand at [`JetPass`].
    Jet(Arc<Jet>),
    /// Normalisation, dropout, residual connections; sizes stand at [`Block`].
    Block(Block),
}

/// Which operand of a matrix product is transposed in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `A · B`: deltas and input gradients.
    Nn,
    /// `A · Bᵀ`: the forward product, since weights are `[outputs, inputs]`.
    Nt,
    /// `Aᵀ · B`: weight gradients.
    Tn,
}

impl Form {
    /// Every form.
    pub const ALL: &'static [Form] = &[Form::Nn, Form::Nt, Form::Tn];

    /// The name in `shaders/matmul/`.
    pub fn name(self) -> &'static str {
        match self {
            Form::Nn => "nn",
            Form::Nt => "nt",
            Form::Tn => "tn",
        }
    }

    /// The WGSL functions `a_at` and `b_at`.
    fn wgsl(self) -> &'static str {
        match self {
            Form::Nn => include_str!("../shaders/matmul/nn.wgsl"),
            Form::Nt => include_str!("../shaders/matmul/nt.wgsl"),
            Form::Tn => include_str!("../shaders/matmul/tn.wgsl"),
        }
    }

    /// Whether every row of the operands and of the result is whole vectors of four.
    pub fn rows_are_vectors(self, [m, n, k, _]: [u32; 4]) -> bool {
        let along = if self == Form::Tn { m } else { k };
        n.is_multiple_of(4) && along.is_multiple_of(4)
    }
}

/// What a matrix product does to each sum before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Epilogue {
    /// Nothing.
    Store,
    /// Nothing; the sums over `k` come in `dims[3]` parts, each stored as a matrix of its own. A [`Kernel::ColumnSum`] adds
    /// them in order: long sums of few elements keep a whole GPU busy so.
    Parts,
    /// `a = f(sum + bias)`; the pre-activation is stored too where `keep` says so.
    Forward {
        /// `f`
        activation: Activation,
        /// Where the bias comes from.
        bias: Bias,
        /// Whether to store the pre-activation for the backward pass.
        keep: bool,
    },
    /// `δ = sum ⊙ f′`, in place of what the forward pass stored of the layer below for `f′`.
    Delta {
        /// `f`
        activation: Activation,
    },
}

/// What a kernel may do to a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only reads.
    Read,
    /// Writes, and may read.
    Write,
    /// Only reads, as a uniform buffer. A kernel may have 8 storage buffers by WebGPU's default limits, and these are
    /// apart.
    Constant,
}

/// How many storage buffers and uniform buffers, the [`Uniform`] aside, a kernel binds at most.
pub(crate) const MOST_BINDINGS: usize = 9;

/// The type of a slot's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// A number of the computation.
    Real,
    /// A number that the device stores in f16.
    Half,
    /// An index, a counter, or packed fields.
    Word,
}

impl Element {
    /// Bytes of an element on the device.
    pub fn bytes(self) -> usize {
        match self {
            Element::Half => 2,
            Element::Real | Element::Word => 4,
        }
    }
}

/// One binding of a kernel beside its [`Uniform`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingSpec {
    /// The variable's name in WGSL.
    pub name: &'static str,
    /// `@binding(…)` in group 0.
    pub index: u32,
    /// Read or written.
    pub access: Access,
    /// The type of its elements.
    pub element: Element,
}

/// The numbers of one dispatch, at binding 0 of every kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Uniform {
    /// Sizes; their meaning stands at the [`Kernel`].
    pub dims: [u32; 4],
    /// Settings of the optimizer.
    pub hyper: [f32; 4],
}

/// One way to run a kernel on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// The shortest text: the specification. Every kernel has it.
    Naive,
    /// Tiles of 64×64 through workgroup memory.
    Tiled,
    /// Tiles of 128×128 through workgroup memory, as vectors of four; only where rows are whole vectors.
    TiledVector,
    /// Values of `A` handed round within a subgroup; only where the adapter has subgroups of one size.
    Broadcast(Broadcast),
    /// Tiles by cooperative matrices, a GPU's matrix units; only where the adapter has them, or emulated.
    Cooperative(Cooperative),
    /// Rows are strided over the invocations of a workgroup.
    Strided,
    /// The naive text on vectors of four; only where sizes are multiples of four.
    Vector,
    /// [`Variant::Strided`] on vectors of four; only where columns are a multiple of four.
    StridedVector,
    /// So many neighbouring invocations share a row; a resident network has a workgroup of so many.
    Lanes(u32),
    /// One invocation with every number in a register.
    Registers,
}

impl Variant {
    /// Whether its text reads and writes vectors of four numbers.
    fn reads_vectors(self) -> bool {
        match self {
            Variant::Broadcast(broadcast) => broadcast.vector,
            Variant::TiledVector | Variant::Vector | Variant::StridedVector => true,
            Variant::Naive
            | Variant::Tiled
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
            Variant::TiledVector => f.pad("tiled128v"),
            Variant::Broadcast(b) => {
                let elements = if b.vector { "v" } else { "" };
                f.pad(&format!("broadcast{}x{}{elements}", b.rows, b.cols()))
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

/// Losses that one lane of a software rasteriser sums in less time than handing a dispatch over takes.
const MOST_IN_TURN: u32 = 8192;

/// WebGPU's largest number of workgroups in one dimension.
pub const MAX_WORKGROUPS: u32 = 65_535;

/// The terms of each but the last of `parts` parts of a sum over `terms`: a multiple of 4.
pub(crate) fn part_length(terms: u64, parts: u64) -> u64 {
    terms.div_ceil(4).div_ceil(parts.max(1)) * 4
}

/// A grid of `count` workgroups, folded where one dimension does not take them.
fn linear(count: u64) -> [u32; 3] {
    let rows = count.div_ceil(u64::from(MAX_WORKGROUPS)).max(1);
    [count.div_ceil(rows) as u32, rows as u32, 1]
}

const fn binding(index: u32, name: &'static str, access: Access, element: Element) -> BindingSpec {
    BindingSpec { name, index, access, element }
}

/// The state of an optimizer's rule.
fn state_bindings(rule: Rule) -> impl Iterator<Item = BindingSpec> {
    let states = rule.state_names().iter().zip(5..);
    states.map(|(name, index)| binding(index, name, Access::Write, Element::Real))
}

impl Kernel {
    /// The word that names the shader, the twin, the label and the test.
    pub fn stem(&self) -> &'static str {
        match self {
            Kernel::Gather => "gather",
            Kernel::Matmul { .. } => "matmul",
            Kernel::Loss { .. } => "loss",
            Kernel::LossSum => "loss_sum",
            Kernel::ColumnSum => "column_sum",
            Kernel::Update(_) => "update",
            Kernel::Treatment(treatment) => treatment.stem(),
            Kernel::Mixed(mixed) => mixed.stem(),
            Kernel::Resident(_) => "resident",
            Kernel::Fused(_) => "fused",
            Kernel::FusedSum(_) => "fused_sum",
            Kernel::Jet(jet) => jet.stem(),
            Kernel::Block(block) => block.stem(),
        }
    }

    /// Every kernel there is: each stem with all it can be compiled for.
    pub fn all() -> Vec<Kernel> {
        let mut all = vec![Kernel::Gather, Kernel::LossSum, Kernel::ColumnSum];
        for &form in Form::ALL {
            all.push(Kernel::Matmul { form, epilogue: Epilogue::Store });
        }
        all.push(Kernel::Matmul { form: Form::Tn, epilogue: Epilogue::Parts });
        for &activation in Activation::ALL {
            let keep = activation.stored() == Stored::Preactivation;
            for &bias in Bias::ALL {
                all.push(Kernel::Matmul { form: Form::Nt, epilogue: Epilogue::Forward { activation, bias, keep } });
            }
            if keep {
                let epilogue = Epilogue::Forward { activation, bias: Bias::PerUnit, keep: false };
                all.push(Kernel::Matmul { form: Form::Nt, epilogue });
            }
            all.push(Kernel::Matmul { form: Form::Nn, epilogue: Epilogue::Delta { activation } });
        }
        for &loss in Loss::ALL {
            for &activation in Activation::ALL {
                if loss.training_activation(activation) == activation {
                    all.push(Kernel::Loss { loss, activation });
                }
            }
        }
        all.extend(Rule::ALL.iter().map(|&rule| Kernel::Update(rule)));
        all.extend(Treatment::ALL.iter().map(|&treatment| Kernel::Treatment(treatment)));
        all.extend(Resident::samples().into_iter().map(|resident| Kernel::Resident(Arc::new(resident))));
        all.extend(fused::samples());
        all.extend(Jet::samples().into_iter().map(|jet| Kernel::Jet(Arc::new(jet))));
        all.extend(Block::samples().into_iter().map(Kernel::Block));
        let mixed = Kernel::all_mixed(&all);
        all.extend(mixed);
        all
    }

    /// The bindings, in the order in which plans and twins list them.
    pub fn bindings(&self) -> Vec<BindingSpec> {
        use Access::{Read, Write};
        use Element::{Real, Word};
        match *self {
            Kernel::Fused(ref fused) => fused.bindings(),
            Kernel::FusedSum(ref sum) => sum.bindings(),
            Kernel::Jet(ref jet) => jet.bindings(),
            Kernel::Block(block) => block.bindings(),
            Kernel::Gather => vec![
                binding(1, "schedule", Read, Word),
                binding(2, "clock", Read, Word),
                binding(3, "order", Read, Word),
                binding(4, "data_inputs", Read, Real),
                binding(5, "data_targets", Read, Real),
                binding(6, "input", Write, Real),
                binding(7, "target_rows", Write, Real),
            ],
            Kernel::Matmul { epilogue, .. } => {
                let mut all =
                    vec![binding(1, "a", Read, Real), binding(2, "b", Read, Real), binding(3, "c", Write, Real)];
                match epilogue {
                    Epilogue::Store | Epilogue::Parts | Epilogue::Delta { .. } => {}
                    Epilogue::Forward { bias, keep, .. } => {
                        if bias != Bias::None {
                            all.push(binding(4, "bias", Read, Real));
                        }
                        if keep {
                            all.push(binding(5, "preactivation", Write, Real));
                        }
                    }
                }
                all
            }
            Kernel::Loss { activation, .. } => {
                let mut all = vec![
                    binding(1, "schedule", Read, Word),
                    binding(2, "clock", Read, Word),
                    binding(3, "output", Write, Real),
                    binding(4, "target_rows", Read, Real),
                    binding(5, "row_loss", Write, Real),
                ];
                if activation.stored() == Stored::Preactivation {
                    all.push(binding(6, "stored", Read, Real));
                }
                all
            }
            Kernel::LossSum => vec![
                binding(1, "row_loss", Read, Real),
                binding(2, "losses", Write, Real),
                binding(3, "clock", Write, Word),
            ],
            Kernel::ColumnSum => vec![binding(1, "matrix", Read, Real), binding(2, "sums", Write, Real)],
            Kernel::Update(rule) => {
                let mut all = vec![
                    binding(1, "schedule", Read, Word),
                    binding(2, "clock", Read, Word),
                    binding(3, "gradients", Read, Real),
                    binding(4, "params", Write, Real),
                ];
                all.extend(state_bindings(rule));
                all
            }
            Kernel::Treatment(treatment) => treatment.bindings(),
            Kernel::Mixed(mixed) => mixed.bindings(),
            Kernel::Resident(ref resident) => resident.bindings(),
        }
    }

    /// The variants, the naive one first. `subgroup` is the size of the adapter's subgroups, `None` where it has none or
    /// their size may change.
    pub fn variants(&self, subgroup: Option<u32>) -> Vec<Variant> {
        match self {
            Kernel::Matmul { .. } => {
                // Sixty-four lanes would have more sums each than they have registers.
                let lanes = subgroup.filter(|lanes| (4..=32).contains(lanes));
                let of = |lanes| {
                    let broadcast = move |rows, vector| Variant::Broadcast(Broadcast { lanes, rows, vector });
                    let most = [16, 24, 32].into_iter().filter(move |rows| rows % lanes == 0);
                    std::iter::once(broadcast(lanes, false)).chain(most.map(move |rows| broadcast(rows, true)))
                };
                [Variant::Naive, Variant::Tiled, Variant::TiledVector]
                    .into_iter()
                    .chain(lanes.into_iter().flat_map(of))
                    .collect()
            }
            Kernel::Loss { .. } => {
                vec![Variant::Naive, Variant::Lanes(4), Variant::Lanes(16), Variant::Lanes(64)]
            }
            Kernel::LossSum => vec![Variant::Naive, Variant::Lanes(256)],
            Kernel::ColumnSum => vec![Variant::Naive, Variant::Strided, Variant::Vector, Variant::StridedVector],
            Kernel::Update(_) => vec![Variant::Naive, Variant::Vector],
            Kernel::Treatment(treatment) => treatment.variants(),
            Kernel::Mixed(mixed) => mixed.variants(),
            Kernel::Resident(resident) => {
                let registers = resident.is_tiny().then_some(Variant::Registers);
                let lanes = [16, 64, 256].map(Variant::Lanes);
                std::iter::once(Variant::Naive).chain(lanes).chain(registers).collect()
            }
            Kernel::Fused(fused) => fused.variants(subgroup),
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
            (_, Variant::Vector) => dims[0].is_multiple_of(4),
            _ => true,
        }
    }

    /// The variant to run for these sizes where nothing was measured.
    pub fn heuristic(&self, dims: [u32; 4], subgroup: Option<u32>) -> Variant {
        let [x, y, z, _] = dims;
        // Eight lanes are a software rasteriser's, where what counts is few loads per multiplication, and a barrier costs
        // more than what it saves. Larger subgroups are a GPU's, whose invocations share workgroup memory better.
        let software = subgroup == Some(8);
        let operations = f64::from(x) * f64::from(y) * f64::from(z);
        match self {
            Kernel::Matmul { .. } if software && operations < LEAST_UNROLLED => Variant::Naive,
            Kernel::Matmul { form, .. } if software && x.min(y) >= 4 => {
                // What few rows do not fill is computed in vain.
                let wasteful = u64::from(x.next_multiple_of(24)) * 20 > u64::from(x) * 21;
                let rows = if *form == Form::Tn || wasteful { 32 } else { 24 };
                let vector = Broadcast { lanes: 8, rows, vector: true };
                let scalar = Broadcast { lanes: 8, rows: 8, vector: false };
                Variant::Broadcast(if form.rows_are_vectors(dims) { vector } else { scalar })
            }
            Kernel::Matmul { form, .. } if x.min(y) >= 96 && form.rows_are_vectors(dims) => Variant::TiledVector,
            Kernel::Matmul { .. } if x.min(y) >= 8 => Variant::Tiled,
            Kernel::Loss { .. } => match y {
                _ if software => Variant::Naive,
                0..=2 => Variant::Naive,
                3..=8 => Variant::Lanes(4),
                9..=64 => Variant::Lanes(16),
                _ => Variant::Lanes(64),
            },
            Kernel::Fused(fused) => fused.heuristic(subgroup),
            Kernel::LossSum if software && x <= MOST_IN_TURN => Variant::Naive,
            Kernel::LossSum if x > 1 => Variant::Lanes(256),
            Kernel::ColumnSum => match (x >= 64 && !software, y.is_multiple_of(4)) {
                (false, false) => Variant::Naive,
                (false, true) => Variant::Vector,
                (true, false) => Variant::Strided,
                (true, true) => Variant::StridedVector,
            },
            Kernel::Update(_) if x.is_multiple_of(4) => Variant::Vector,
            Kernel::Treatment(treatment) => treatment.heuristic(dims),
            Kernel::Mixed(mixed) => mixed.heuristic(dims),
            Kernel::Block(block) => block.heuristic(dims, subgroup),
            Kernel::Resident(resident) => resident.heuristic(x, subgroup),
            _ => Variant::Naive,
        }
    }

    /// How many elements each binding has to have, at the least, for a dispatch over `dims`; in the order of
    /// [`Kernel::bindings`].
    pub fn lengths(&self, dims: [u32; 4]) -> Vec<usize> {
        let [x, y, z, w] = dims.map(|d| d as usize);
        const ENTRY: usize = ScheduleEntry::WORDS;
        match *self {
            Kernel::Gather => vec![ENTRY, 1, 1, y, z.max(1), x * y, (x * z).max(1)],
            Kernel::Matmul { epilogue, .. } => {
                let mut all = vec![x * z, z * y, x * y];
                match epilogue {
                    Epilogue::Store | Epilogue::Delta { .. } => {}
                    Epilogue::Parts => all[2] *= w,
                    Epilogue::Forward { bias, keep, .. } => {
                        all.extend((bias != Bias::None).then(|| bias.len(y)));
                        all.extend(keep.then_some(x * y));
                    }
                }
                all
            }
            Kernel::Loss { activation, .. } => {
                let mut all = vec![ENTRY, 1, x * y, x * (y + z), x];
                all.extend((activation.stored() == Stored::Preactivation).then_some(x * y));
                all
            }
            Kernel::LossSum => vec![x, 1, 1],
            Kernel::ColumnSum => vec![x * y, y],
            Kernel::Update(rule) => [vec![ENTRY, 1], vec![x; 2 + rule.states()]].concat(),
            Kernel::Treatment(treatment) => treatment.lengths([x, y, z, w]),
            Kernel::Mixed(mixed) => mixed.lengths(dims),
            Kernel::Resident(ref resident) => resident.lengths(x, z, w, ENTRY),
            Kernel::Fused(ref fused) => fused.lengths([x, y, z]),
            Kernel::FusedSum(ref sum) => sum.lengths([x, y, z]),
            Kernel::Jet(ref jet) => jet.lengths([x, y, z, w]),
            Kernel::Block(block) => block.lengths([x, y, z, w]),
        }
    }

    /// Whether one dispatch can take many training steps, as many as `dims[1]` says; a plan says how many at the most.
    pub fn repeats(&self) -> bool {
        matches!(self, Kernel::Resident(_))
    }

    /// The sizes of a dispatch that takes `steps` training steps, where the kernel can; `dims` otherwise.
    pub fn times(&self, [x, y, z, w]: [u32; 4], steps: u32) -> [u32; 4] {
        [x, if self.repeats() { steps } else { y }, z, w]
    }

    /// Iterations of all its loops that an invocation takes in a dispatch over `dims`; some drivers allow only so many.
    pub fn loop_iterations(&self, variant: Variant, dims: [u32; 4]) -> u64 {
        let [x, y, z, w] = dims.map(u64::from);
        match (self, variant) {
            (Kernel::Matmul { epilogue, .. }, _) => {
                let terms = if *epilogue == Epilogue::Parts { part_length(z, w) } else { z };
                match variant {
                    Variant::Broadcast(broadcast) => broadcast.loop_iterations(terms),
                    Variant::Tiled => terms.div_ceil(16) * (1 + 16 + 8) + 16,
                    Variant::TiledVector => tiled_vector::loop_iterations(terms),
                    _ => terms,
                }
            }
            (Kernel::Loss { .. }, Variant::Lanes(lanes)) => 3 * y.div_ceil(u64::from(lanes)) + 32,
            (Kernel::Loss { .. }, _) => 3 * y,
            (Kernel::LossSum, Variant::Lanes(lanes)) => x.div_ceil(u64::from(lanes)) + 8,
            (Kernel::LossSum, _) => x,
            (Kernel::ColumnSum, Variant::Strided | Variant::StridedVector) => x.div_ceil(16) + 4,
            (Kernel::ColumnSum, _) => x,
            (Kernel::Gather | Kernel::Update(_) | Kernel::Jet(_), _) => 0,
            (Kernel::Treatment(treatment), _) => treatment.loop_iterations(variant, [x, y, z, w]),
            (Kernel::Mixed(mixed), _) => mixed.loop_iterations(variant, dims),
            (Kernel::Resident(resident), variant) => resident.loop_iterations(lanes_of(variant), x, y),
            (Kernel::Fused(fused), _) => fused.loop_iterations(variant, [x as usize, y as usize]),
            (Kernel::FusedSum(sum), _) => sum.loop_iterations(x),
            (Kernel::Block(block), variant) => block.loop_iterations(variant, dims),
        }
    }

    /// Whether its text needs f16.
    pub fn needs_half(&self) -> bool {
        self.bindings().iter().any(|spec| spec.element == Element::Half)
    }

    /// Whether every index of the kernel follows from its sizes, which [`Plan::validate`](crate::plan::Plan::validate)
    /// holds against the bindings. A gathered sample's number comes from a buffer instead.
    pub fn stays_in_bounds(&self) -> bool {
        !matches!(self, Kernel::Gather | Kernel::Mixed(Mixed::Gather))
    }

    /// How many workgroups a dispatch over `dims` has.
    pub fn workgroups(&self, variant: Variant, dims: [u32; 4]) -> [u32; 3] {
        let [x, y, z, w] = dims.map(u64::from);
        match (self, variant) {
            (Kernel::Gather, _) => linear((x * (y + z)).div_ceil(256)),
            (Kernel::Matmul { epilogue, .. }, _) => {
                let (rows, cols) = match variant {
                    Variant::Broadcast(b) => (u64::from(b.rows), u64::from(b.cols())),
                    Variant::Tiled => (64, 64),
                    Variant::TiledVector => (u64::from(tiled_vector::TILE), u64::from(tiled_vector::TILE)),
                    _ => (16, 16),
                };
                let [row_groups, folds, _] = linear(x.div_ceil(rows));
                let layers = if *epilogue == Epilogue::Parts { w as u32 } else { folds };
                [y.div_ceil(cols) as u32, row_groups, layers]
            }
            (Kernel::Loss { .. }, Variant::Lanes(lanes)) => linear(x.div_ceil(u64::from(256 / lanes))),
            (Kernel::Loss { .. }, _) => linear(x.div_ceil(256)),
            (Kernel::LossSum, _) => [1, 1, 1],
            (Kernel::ColumnSum, Variant::Strided) => [y.div_ceil(16) as u32, 1, 1],
            (Kernel::ColumnSum, Variant::StridedVector) => [y.div_ceil(4 * 16) as u32, 1, 1],
            (Kernel::ColumnSum, Variant::Vector) => [y.div_ceil(4 * 64) as u32, 1, 1],
            (Kernel::ColumnSum, _) => [y.div_ceil(64) as u32, 1, 1],
            (Kernel::Update(_), Variant::Vector) => linear(x.div_ceil(4 * 256)),
            (Kernel::Update(_), _) => linear(x.div_ceil(256)),
            (Kernel::Treatment(treatment), _) => treatment.workgroups(variant, [x, y, z, w]),
            (Kernel::Mixed(mixed), _) => mixed.workgroups(variant, dims),
            (Kernel::Resident(_), _) => [1, 1, 1],
            (Kernel::Fused(_), _) => [x.div_ceil(y.max(1)) as u32, 1, 1],
            (Kernel::FusedSum(_), _) => linear(z.div_ceil(64)),
            (Kernel::Jet(jet), _) => jet.workgroups(dims),
            (Kernel::Block(block), variant) => block.workgroups(variant, dims),
        }
    }

    /// Floating-point operations and bytes moved, at the least, by a dispatch over `dims`.
    pub fn work(&self, dims: [u32; 4]) -> (f64, f64) {
        let [x, y, z, _] = dims.map(f64::from);
        match self {
            Kernel::Gather => (0.0, 8.0 * x * (y + z)),
            Kernel::Matmul { epilogue: Epilogue::Store | Epilogue::Parts, .. } => {
                (2.0 * x * y * z, 4.0 * (x * y + x * z + y * z))
            }
            Kernel::Matmul { .. } => (2.0 * x * y * z, 4.0 * (2.0 * x * y + x * z + y * z)),
            Kernel::Loss { .. } => (0.0, 12.0 * x * y),
            Kernel::LossSum => (x, 4.0 * x),
            Kernel::ColumnSum => (x * y, 4.0 * x * y),
            Kernel::Update(rule) => (2.0 * x, (12.0 + 8.0 * rule.states() as f64) * x),
            Kernel::Treatment(treatment) => treatment.work(x),
            Kernel::Mixed(mixed) => mixed.work(dims),
            Kernel::Resident(resident) => {
                let network = &resident.whole.network;
                let row = 4.0 * (network.inputs + network.outputs()) as f64;
                (y * network.training_flops(dims[0] as usize), y * x * row)
            }
            Kernel::Fused(fused) => fused.work(x),
            Kernel::FusedSum(_) => (x * z, 4.0 * x * z),
            Kernel::Jet(jet) => jet.work(dims),
            Kernel::Block(block) => block.work(dims),
        }
    }

    /// The complete WGSL of `variant`: the hook functions that this kernel is compiled for, then the kernel.
    pub fn wgsl(&self, variant: Variant) -> String {
        self.wgsl_of(variant, Element::Real)
    }

    /// [`Kernel::wgsl`] with the batch, what layers put out and deltas as `stored` says, except for a product's, which
    /// has a text of its own for halves.
    fn wgsl_of(&self, variant: Variant, stored: Element) -> String {
        let half = stored == Element::Half;
        const UNIFORM: &str = include_str!("../shaders/uniform.wgsl");
        const SCHEDULE: &str = include_str!("../shaders/schedule.wgsl");
        const LOSS_OF_ROWS: &str = include_str!("../shaders/loss_sum/of_rows.wgsl");
        let lanes = match variant {
            Variant::Lanes(lanes) => lanes,
            _ => 1,
        };
        let lanes = format!("const LANES: u32 = {lanes}u;\n");
        let vector = variant.reads_vectors();
        let element = match vector {
            true => include_str!("../shaders/element/vector.wgsl"),
            false => include_str!("../shaders/element/scalar.wgsl"),
        };
        let stored_as = match (half, vector) {
            (true, true) => "alias Stored = vec4<f16>;\n",
            (true, false) => "alias Stored = f16;\n",
            (false, true) => "alias Stored = vec4<f32>;\n",
            (false, false) => "alias Stored = f32;\n",
        };
        let mut parts = vec![UNIFORM];
        let (constants, generated, scale);
        match *self {
            Kernel::Resident(ref resident) => {
                let whole = &resident.whole;
                constants = whole::activation_hooks(whole.activations());
                generated = resident.wgsl(lanes_of(variant));
                let math = math(whole.activations(), Some(whole.loss));
                let (row, loss) = (include_str!("../shaders/loss/row.wgsl"), whole.loss.wgsl());
                parts.extend([SCHEDULE, element, math, &constants, row, loss, &generated]);
            }
            Kernel::Fused(ref fused) => {
                generated = fused.wgsl(variant);
                parts.push(&generated);
            }
            Kernel::FusedSum(ref sum) => {
                generated = sum.wgsl();
                parts.extend([element, &generated]);
            }
            Kernel::Jet(ref jet) => {
                generated = jet.wgsl();
                parts.extend(jet.uses_schedule().then_some(SCHEDULE));
                parts.extend([PRELUDE, &generated]);
            }
            Kernel::Block(block) => {
                generated = block.wgsl(variant, math(block.activation(), None));
                parts.push(&generated);
            }
            Kernel::Gather => parts.extend([stored_as, SCHEDULE, include_str!("../shaders/gather.wgsl")]),
            Kernel::Matmul { form, epilogue } => {
                let of_elements = match vector {
                    true => include_str!("../shaders/element/vector_activation.wgsl"),
                    false => include_str!("../shaders/element/scalar_activation.wgsl"),
                };
                parts.extend([element, include_str!("../shaders/matmul/bindings.wgsl")]);
                parts.push(match epilogue {
                    Epilogue::Parts => include_str!("../shaders/matmul/parts.wgsl"),
                    _ => include_str!("../shaders/matmul/whole.wgsl"),
                });
                parts.push(form.wgsl());
                match epilogue {
                    Epilogue::Store | Epilogue::Parts => parts.push(include_str!("../shaders/matmul/store.wgsl")),
                    Epilogue::Forward { activation, bias, keep } => parts.extend([
                        math([activation], None),
                        activation.wgsl(),
                        of_elements,
                        match bias {
                            Bias::PerUnit => include_str!("../shaders/bias/per_unit.wgsl"),
                            Bias::Shared => include_str!("../shaders/bias/shared.wgsl"),
                            Bias::None => include_str!("../shaders/bias/none.wgsl"),
                        },
                        match keep {
                            true => include_str!("../shaders/keep/preactivation.wgsl"),
                            false => include_str!("../shaders/keep/nothing.wgsl"),
                        },
                        include_str!("../shaders/matmul/forward.wgsl"),
                    ]),
                    Epilogue::Delta { activation } => {
                        let delta = include_str!("../shaders/matmul/delta.wgsl");
                        parts.extend([math([activation], None), activation.wgsl(), of_elements, delta]);
                    }
                }
                if matches!(variant, Variant::Naive | Variant::Tiled) {
                    parts.push(include_str!("../shaders/matmul/operands.wgsl"));
                }
                parts.push(match variant {
                    Variant::Broadcast(broadcast) => {
                        generated = broadcast.wgsl(form);
                        &generated
                    }
                    Variant::Tiled => include_str!("../shaders/matmul/tiled.wgsl"),
                    Variant::TiledVector => {
                        generated = tiled_vector::wgsl(form);
                        &generated
                    }
                    _ => include_str!("../shaders/matmul/naive.wgsl"),
                });
            }
            Kernel::Loss { loss, activation } => {
                constants = format!("{lanes}const USES_SOFTMAX: bool = {};\n", loss.uses_softmax());
                scale = mixed::scale_wgsl();
                parts.extend(match half {
                    true => vec![include_str!("../shaders/half/scaled_delta.wgsl"), &scale],
                    false => vec![include_str!("../shaders/loss/plain_delta.wgsl")],
                });
                parts.extend([
                    stored_as,
                    SCHEDULE,
                    math([activation], Some(loss)),
                    activation.wgsl(),
                    include_str!("../shaders/loss/row.wgsl"),
                    loss.wgsl(),
                    match activation.stored() {
                        Stored::Output => include_str!("../shaders/loss/stored_output.wgsl"),
                        Stored::Preactivation => include_str!("../shaders/loss/stored_preactivation.wgsl"),
                    },
                    &constants,
                    include_str!("../shaders/loss.wgsl"),
                ]);
            }
            Kernel::LossSum => parts.extend([&lanes, LOSS_OF_ROWS, include_str!("../shaders/loss_sum.wgsl")]),
            Kernel::ColumnSum => parts.extend([
                stored_as,
                element,
                match variant {
                    Variant::Strided | Variant::StridedVector => include_str!("../shaders/column_sum_strided.wgsl"),
                    _ => include_str!("../shaders/column_sum_naive.wgsl"),
                },
            ]),
            Kernel::Update(rule) => {
                parts.push(match half {
                    true => include_str!("../shaders/half/skip_overflow.wgsl"),
                    false => include_str!("../shaders/update/every_step.wgsl"),
                });
                parts.extend([SCHEDULE, element, rule.wgsl(), include_str!("../shaders/update.wgsl")]);
            }
            Kernel::Treatment(treatment) => {
                let [own, each] = treatment.wgsl();
                parts.extend([&lanes, element, own, each]);
            }
            Kernel::Mixed(mixed) => return mixed.wgsl(variant),
        }
        let needs_half = if half { Mixed::of(self.clone()).needs_half() } else { self.needs_half() };
        let enable = match variant {
            Variant::Cooperative(matrices) => matrices.enable(),
            _ if needs_half => "enable f16;\n",
            _ => "",
        };
        enable.to_owned() + &parts.join("\n")
    }
}

/// What the hook functions of these activations and of this loss call. Only expressions need more than the registry's
/// functions do.
fn math(activations: impl IntoIterator<Item = Activation>, loss: Option<Loss>) -> &'static str {
    let from_text = activations.into_iter().any(|activation| activation.expressions().is_some())
        || loss.is_some_and(|loss| loss.expressions().is_some());
    match from_text {
        true => PRELUDE,
        false => include_str!("../shaders/math.wgsl"),
    }
}

/// Invocations of a resident network's workgroup; `None` where the one has its numbers in registers.
fn lanes_of(variant: Variant) -> Option<u32> {
    match variant {
        Variant::Registers => None,
        Variant::Lanes(lanes) => Some(lanes),
        _ => Some(1),
    }
}

impl std::fmt::Display for Kernel {
    /// `matmul_nt + bias + sigmoid`, `loss huber`, `update sgd`, …
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&match self {
            Kernel::Matmul { form, epilogue } => {
                let form = form.name();
                match epilogue {
                    Epilogue::Store => format!("matmul_{form}"),
                    Epilogue::Parts => format!("matmul_{form} in parts"),
                    Epilogue::Forward { activation, bias, keep } => {
                        let bias = match bias {
                            Bias::PerUnit => " + bias",
                            Bias::Shared => " + shared bias",
                            Bias::None => "",
                        };
                        let name = activation.name();
                        format!("matmul_{form}{bias} + {name}{}", if *keep { " (keeps z)" } else { "" })
                    }
                    Epilogue::Delta { activation } => format!("matmul_{form} × {}′", activation.name()),
                }
            }
            Kernel::Loss { loss, activation } => format!("loss {} × {}′", loss.name(), activation.name()),
            Kernel::Update(rule) => format!("update {}", rule.name()),
            Kernel::Mixed(mixed) => mixed.to_string(),
            Kernel::Resident(resident) => {
                let Whole { network, loss, rule } = &resident.whole;
                format!("resident {network} {} {}, {}", loss.name(), rule.name(), resident.pass.name())
            }
            Kernel::Fused(fused) => fused.to_string(),
            Kernel::FusedSum(sum) => sum.to_string(),
            Kernel::Jet(jet) => jet.to_string(),
            Kernel::Block(block) => block.to_string(),
            Kernel::Gather | Kernel::LossSum | Kernel::ColumnSum | Kernel::Treatment(_) => self.stem().to_owned(),
        })
    }
}
