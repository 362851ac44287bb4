//! The registry of kernels: for each one its stem, bindings, WGSL text, variants and workgroup counts. The twin of a
//! kernel on the CPU bears its stem in [`crate::cpu`].

pub mod block;
mod broadcast;
mod cooperative;
pub mod fused;
pub mod jet;
pub mod mixed;
pub mod resident;
mod sliced;
mod text;
mod tiled_vector;
pub mod treatment;
mod variant;
mod whole;

pub use block::{Block, Over};
pub use broadcast::{Broadcast, Load};
pub use cooperative::Cooperative;
pub use fused::{Fused, FusedSum};
pub use jet::{Jet, JetPass};
pub use mixed::Mixed;
pub use resident::Resident;
use text::math;
pub use treatment::Treatment;
pub(crate) use variant::SOFTWARE_LANES;
use variant::lanes_of;
pub use variant::{Abilities, Variant};
pub use whole::Whole;

use crate::activation::{Activation, Stored};
use crate::loss::Loss;
use crate::network::Bias;
use crate::optimizer::Rule;
use crate::params::ALIGNMENT;
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
    /// `δ = sum ⊙ f′`, by what the forward pass stored of the layer below for `f′`, and in its place.
    Delta {
        /// `f`
        activation: Activation,
        /// Whether `δ` has a place apart instead, and what the forward pass stored stays.
        apart: bool,
    },
    /// The optimizer's update of the weight whose gradient the sum is; only of [`Form::Tn`]. The gradient is stored nowhere.
    Update {
        /// The optimizer's rule.
        rule: Rule,
        /// Whether a bias is updated too, by the sums of the columns of `A` as it lies in memory. It lies behind the weight,
        /// at the next multiple of [`ALIGNMENT`].
        bias: bool,
    },
}

impl Epilogue {
    /// Where the bias begins that an update changes, behind a weight of `elements` elements; `None` where there is none.
    pub(crate) fn bias_behind(self, elements: usize) -> Option<usize> {
        let has_one = matches!(self, Epilogue::Update { bias: true, .. });
        has_one.then(|| elements.next_multiple_of(ALIGNMENT))
    }
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
            for apart in [false, true] {
                all.push(Kernel::Matmul { form: Form::Nn, epilogue: Epilogue::Delta { activation, apart } });
            }
        }
        let update = |rule, bias| Kernel::Matmul { form: Form::Tn, epilogue: Epilogue::Update { rule, bias } };
        all.extend(Rule::ALL.iter().map(|&rule| update(rule, true)));
        all.push(update(Rule::Sgd, false));
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
            // An update's own bindings have the numbers that they have in every update.
            Kernel::Matmul { epilogue: Epilogue::Update { rule, .. }, .. } => {
                let mut all = vec![
                    binding(7, "a", Read, Real),
                    binding(8, "b", Read, Real),
                    binding(4, "c", Write, Real),
                    binding(1, "schedule", Read, Word),
                    binding(2, "clock", Read, Word),
                ];
                all.extend(state_bindings(rule));
                all
            }
            Kernel::Matmul { epilogue, .. } => {
                let mut all =
                    vec![binding(1, "a", Read, Real), binding(2, "b", Read, Real), binding(3, "c", Write, Real)];
                match epilogue {
                    Epilogue::Store | Epilogue::Parts | Epilogue::Update { .. } => {}
                    Epilogue::Delta { apart, .. } => all.extend(apart.then(|| binding(4, "stored", Read, Real))),
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
                    Epilogue::Store => {}
                    Epilogue::Delta { apart, .. } => all.extend(apart.then_some(x * y)),
                    Epilogue::Update { rule, .. } => {
                        all[2] = epilogue.bias_behind(x * y).map_or(x * y, |first| first + x);
                        let params = all[2];
                        all.extend([ENTRY, 1]);
                        all.extend(vec![params; rule.states()]);
                    }
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
                let tiles = match variant {
                    Variant::Broadcast(broadcast) => broadcast.loop_iterations(terms),
                    Variant::Tiled => terms.div_ceil(16) * (1 + 16 + 8) + 16,
                    Variant::TiledVector(_) => tiled_vector::loop_iterations(terms),
                    Variant::Sliced | Variant::SlicedVector => sliced::loop_iterations(terms),
                    _ => terms,
                };
                let sums_of_columns = match (epilogue, variant) {
                    (Epilogue::Update { bias: true, .. }, Variant::Broadcast(broadcast)) => {
                        let at_once = if broadcast.reads_vectors() { 4 * broadcast.lanes } else { broadcast.lanes };
                        u64::from(broadcast.rows.div_ceil(at_once)) * (1 + terms)
                    }
                    // Behind the strands, at most as many as in a workgroup for four columns, comes their sum.
                    (Epilogue::Update { bias: true, .. }, _) => 1 + terms + 64,
                    _ => 0,
                };
                tiles.max(sums_of_columns)
            }
            (Kernel::Loss { .. }, Variant::Lanes(lanes)) => 3 * y.div_ceil(u64::from(lanes)) + 32,
            (Kernel::Loss { .. }, _) => 3 * y,
            (Kernel::LossSum, Variant::Lanes(lanes)) => x.div_ceil(u64::from(lanes)) + 8,
            (Kernel::LossSum, _) => x,
            (Kernel::ColumnSum, Variant::Strided | Variant::StridedVector) => x.div_ceil(16) + 4,
            (Kernel::ColumnSum, _) => x,
            (Kernel::Gather | Kernel::Jet(_), _) => 0,
            (Kernel::Update(_), variant) => u64::from(variant.turns()),
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
                    Variant::TiledVector(tile) => (u64::from(tile), u64::from(tile)),
                    Variant::Sliced | Variant::SlicedVector => (u64::from(sliced::TILE), u64::from(sliced::TILE)),
                    _ => (16, 16),
                };
                let [row_groups, folds, _] = linear(x.div_ceil(rows));
                let layers = if *epilogue == Epilogue::Parts { w as u32 } else { folds };
                // Behind the tiles of each row come the sums for a bias.
                let behind = u32::from(matches!(epilogue, Epilogue::Update { bias: true, .. }));
                [y.div_ceil(cols) as u32 + behind, row_groups, layers]
            }
            (Kernel::Loss { .. }, Variant::Lanes(lanes)) => linear(x.div_ceil(u64::from(256 / lanes))),
            (Kernel::Loss { .. }, _) => linear(x.div_ceil(256)),
            (Kernel::LossSum, _) => [1, 1, 1],
            (Kernel::ColumnSum, Variant::Strided) => [y.div_ceil(16) as u32, 1, 1],
            (Kernel::ColumnSum, Variant::StridedVector) => [y.div_ceil(4 * 16) as u32, 1, 1],
            (Kernel::ColumnSum, Variant::Vector) => [y.div_ceil(4 * 64) as u32, 1, 1],
            (Kernel::ColumnSum, _) => [y.div_ceil(64) as u32, 1, 1],
            (Kernel::Update(_), variant) => {
                let elements = if variant.reads_vectors() { 4 } else { 1 };
                linear(x.div_ceil(256 * elements * u64::from(variant.turns())))
            }
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
            Kernel::Matmul { epilogue: Epilogue::Update { rule, .. }, .. } => {
                let moved = (2 + 2 * rule.states()) as f64 * x * y;
                (2.0 * x * y * z, 4.0 * (moved + x * z + y * z))
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
                    Epilogue::Delta { activation, apart } => {
                        format!("matmul_{form} × {}′{}", activation.name(), if *apart { " (apart)" } else { "" })
                    }
                    Epilogue::Update { rule, bias } => {
                        format!("matmul_{form}{} + update {}", if *bias { " + column_sum" } else { "" }, rule.name())
                    }
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
