//! What surrounds `f(W x + b)` in a layer: normalisation of the sums, dropout, a residual connection. A matrix is
//! `[rows, cols]`, samples and units.

use super::{Abilities, Access, BindingSpec, Element, Variant, binding, linear};
use crate::activation::{Activation, Stored};
use crate::network::Normalization;
use crate::plan::ScheduleEntry;

/// What a normalisation takes its mean and variance over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Over {
    /// The units of each sample: layer normalisation. The items are the rows.
    Rows,
    /// The samples of each unit: batch normalisation. The items are the columns.
    Columns,
}

impl Over {
    /// Both.
    pub const ALL: &'static [Over] = &[Over::Rows, Over::Columns];

    /// What has a mean and a variance each.
    pub fn items(self, rows: usize, cols: usize) -> usize {
        match self {
            Over::Rows => rows,
            Over::Columns => cols,
        }
    }

    /// The members of an item.
    pub(crate) fn elements(self, rows: usize, cols: usize) -> usize {
        rows * cols / self.items(rows, cols).max(1)
    }

    fn name(self) -> &'static str {
        match self {
            Over::Rows => "layer",
            Over::Columns => "batch",
        }
    }

    fn wgsl(self) -> &'static str {
        match self {
            Over::Rows => include_str!("../../shaders/block/rows.wgsl"),
            Over::Columns => include_str!("../../shaders/block/columns.wgsl"),
        }
    }
}

/// A kernel of what surrounds `f(W x + b)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Block {
    /// The mean and the variance of each item of z; over columns those of the batch in training, else the running ones.
    /// `dims = [rows, cols, where the running variances begin]`
    Statistics(Over),
    /// `x̂ = (z - mean) / √(variance + ε)` in place of z, and `a = f(n)` with `n = scale ⊙ x̂ + shift`.
    /// `dims = [rows, cols, where the variances begin]`
    Normalize {
        /// Over what.
        over: Over,
        /// `f`
        activation: Activation,
        /// Whether to store n for the backward pass.
        keep: bool,
    },
    /// Moves the running statistics toward those of the batch. `dims = [cols, where the running variances begin]`
    RunningStatistics,
    /// The two sums of each item that its derivatives share; over columns they are the gradients of scale and shift.
    /// `dims = [rows, cols, where the second sums begin]`
    NormalizeSums {
        /// Over what.
        over: Over,
        /// Whether δ comes weighted by the scale, as [`Block::NormalizeDelta`] needs it over rows.
        weighted: bool,
    },
    /// `∂loss/∂z` in place of `∂loss/∂n`. `dims = [rows, cols, where the second sums begin]`
    NormalizeDelta(Over),
    /// `y = x + mask ⊙ a`. `dims = [rows, cols]`, `hyper = [rate, 1 / (1 - rate), layer]`
    Join {
        /// Whether x is added.
        residual: bool,
        /// Whether there is a mask.
        dropout: bool,
    },
    /// The derivative by what the layer puts out, to which that from a residual connection above is added in place, and from
    /// it `δ = flow ⊙ mask ⊙ f′`, in place of what the forward pass stored for `f′`. Sizes and settings as for
    /// [`Block::Join`].
    JoinDelta {
        /// `f`
        activation: Activation,
        /// Whether something arrives from a residual connection above.
        residual: bool,
        /// Whether there is a mask.
        dropout: bool,
    },
}

impl Block {
    /// One of each kind, for checks.
    pub(super) fn samples() -> Vec<Block> {
        let mut all = vec![Block::RunningStatistics];
        for &over in Over::ALL {
            all.extend([Block::Statistics(over), Block::NormalizeDelta(over)]);
            let keeps = |activation: &Activation| activation.stored() == Stored::Preactivation;
            let normalize = |activation| Block::Normalize { over, activation, keep: keeps(&activation) };
            all.extend(Activation::ALL.iter().map(|&activation| normalize(activation)));
            let activation = Activation::Silu;
            all.push(Block::Normalize { over, activation, keep: false });
        }
        all.push(Block::NormalizeSums { over: Over::Rows, weighted: true });
        all.push(Block::NormalizeSums { over: Over::Columns, weighted: false });
        for residual in [false, true] {
            for dropout in [false, true] {
                if residual || dropout {
                    all.push(Block::Join { residual, dropout });
                }
                let delta = |&activation: &Activation| Block::JoinDelta { activation, residual, dropout };
                all.extend(Activation::ALL.iter().skip(usize::from(residual)).step_by(2).map(delta));
            }
        }
        all
    }

    pub(crate) fn stem(self) -> &'static str {
        match self {
            Block::Statistics(_) => "statistics",
            Block::Normalize { .. } => "normalize",
            Block::RunningStatistics => "running_statistics",
            Block::NormalizeSums { .. } => "normalize_sums",
            Block::NormalizeDelta(_) => "normalize_delta",
            Block::Join { .. } => "join",
            Block::JoinDelta { .. } => "join_delta",
        }
    }

    pub(super) fn bindings(self) -> Vec<BindingSpec> {
        use Access::{Read, Write};
        use Element::{Real, Word};
        let step = [binding(1, "schedule", Read, Word), binding(2, "clock", Read, Word)];
        match self {
            Block::Statistics(over) => {
                let mut all = if over == Over::Columns { step.to_vec() } else { Vec::new() };
                all.extend([binding(3, "z", Read, Real), binding(4, "statistics", Write, Real)]);
                all.extend((over == Over::Columns).then(|| binding(5, "running", Read, Real)));
                all
            }
            Block::Normalize { keep, .. } => {
                let mut all = vec![
                    binding(1, "statistics", Read, Real),
                    binding(2, "scale", Read, Real),
                    binding(3, "shift", Read, Real),
                    binding(4, "z", Write, Real),
                ];
                all.extend(keep.then(|| binding(5, "preactivation", Write, Real)));
                all.push(binding(6, "a", Write, Real));
                all
            }
            Block::RunningStatistics => {
                [&step[..], &[binding(3, "statistics", Read, Real), binding(4, "running", Write, Real)]].concat()
            }
            Block::NormalizeSums { weighted, .. } => {
                let mut all = vec![
                    binding(1, "delta", Read, Real),
                    binding(2, "normal", Read, Real),
                    binding(3, "sums", Write, Real),
                ];
                all.extend(weighted.then(|| binding(4, "scale", Read, Real)));
                all
            }
            Block::NormalizeDelta(over) => {
                let mut all = if over == Over::Columns { step.to_vec() } else { Vec::new() };
                all.extend([
                    binding(3, "sums", Read, Real),
                    binding(4, "statistics", Read, Real),
                    binding(5, "scale", Read, Real),
                    binding(6, "normal", Read, Real),
                    binding(7, "delta", Write, Real),
                ]);
                all
            }
            Block::Join { residual, dropout } => {
                let mut all = if dropout { step.to_vec() } else { Vec::new() };
                all.extend([binding(3, "a", Read, Real), binding(4, "y", Write, Real)]);
                all.extend(residual.then(|| binding(5, "x", Read, Real)));
                all
            }
            Block::JoinDelta { residual, dropout, .. } => {
                let mut all = if dropout { step.to_vec() } else { Vec::new() };
                all.extend([binding(3, "flow", Write, Real), binding(4, "delta", Write, Real)]);
                all.extend(residual.then(|| binding(5, "x", Read, Real)));
                all
            }
        }
    }

    pub(super) fn lengths(self, [x, y, z, _]: [usize; 4]) -> Vec<usize> {
        let size = x * y;
        let length = |name: &str| match (self, name) {
            (_, "schedule") => ScheduleEntry::WORDS,
            (_, "clock") => 1,
            (_, "scale" | "shift") => y,
            (Block::Statistics(over), "statistics") => 2 * over.items(x, y),
            (Block::Statistics(_), "running") => z + y,
            (Block::Normalize { over, .. }, "statistics") => z + over.items(x, y),
            (Block::RunningStatistics, "statistics") => 2 * x,
            (Block::RunningStatistics, _) => y + x,
            (Block::NormalizeSums { over, .. } | Block::NormalizeDelta(over), "sums") => z + over.items(x, y),
            (Block::NormalizeDelta(over), "statistics") => 2 * over.items(x, y),
            _ => size,
        };
        self.bindings().iter().map(|spec| length(spec.name)).collect()
    }

    pub(super) fn variants(self) -> Vec<Variant> {
        match self {
            Block::Statistics(_) | Block::NormalizeSums { .. } => {
                vec![Variant::Naive, Variant::Lanes(16), Variant::Lanes(256)]
            }
            _ => vec![Variant::Naive],
        }
    }

    pub(super) fn heuristic(self, dims: [u32; 4], abilities: Abilities) -> Variant {
        let [rows, cols] = [dims[0] as usize, dims[1] as usize];
        match self {
            Block::Statistics(over) | Block::NormalizeSums { over, .. } => match over.elements(rows, cols) {
                // A software rasteriser has no use for lanes, unless its loops end early.
                0..=16_000 if abilities.is_software() => Variant::Naive,
                0..=8 => Variant::Naive,
                // Few items by sixteens would be few workgroups.
                9..=64 => Variant::Lanes(16),
                65..=1024 if over.items(rows, cols) >= 16 * 128 => Variant::Lanes(16),
                // Neighbours among 256 lanes of a column read a row apart from each other.
                65..=511 if over == Over::Columns => Variant::Lanes(16),
                _ => Variant::Lanes(256),
            },
            _ => Variant::Naive,
        }
    }

    pub(super) fn loop_iterations(self, variant: Variant, [x, y, ..]: [u32; 4]) -> u64 {
        let lanes = lanes_of(variant);
        let of = |over: Over| over.elements(x as usize, y as usize) as u64 / u64::from(lanes) + 1;
        match self {
            Block::Statistics(over) => 2 * of(over) + 16,
            Block::NormalizeSums { over, .. } => of(over) + 16,
            _ => 0,
        }
    }

    pub(super) fn workgroups(self, variant: Variant, [x, y, ..]: [u32; 4]) -> [u32; 3] {
        let [rows, cols] = [x, y].map(|d| d as usize);
        let items = match self {
            Block::Statistics(over) | Block::NormalizeSums { over, .. } => over.items(rows, cols),
            Block::RunningStatistics => rows,
            _ => rows * cols,
        };
        linear((items as u64).div_ceil(u64::from(256 / lanes_of(variant))))
    }

    /// Operations and bytes.
    pub(super) fn work(self, dims: [u32; 4]) -> (f64, f64) {
        let numbers: usize = self.lengths(dims.map(|d| d as usize)).iter().sum();
        (0.0, 4.0 * numbers as f64)
    }

    /// The text behind the uniform; `math` are the functions that activations call.
    pub(super) fn wgsl(self, variant: Variant, math: &str) -> String {
        let lanes = lanes_of(variant);
        let constants = format!(
            "const LANES: u32 = {lanes}u;\nconst ITEMS: u32 = {}u;\nconst TRAINING: u32 = {}u;\n\
             const EPSILON: f32 = {:e};\nconst MOMENTUM: f32 = {:e};\n",
            256 / lanes,
            ScheduleEntry::TRAINING,
            Normalization::EPSILON,
            Normalization::MOMENTUM,
        );
        let total = match lanes {
            1 => include_str!("../../shaders/block/alone.wgsl"),
            _ => include_str!("../../shaders/block/shared.wgsl"),
        };
        const EACH: &str = include_str!("../../shaders/block/each.wgsl");
        const SCHEDULE: &str = include_str!("../../shaders/schedule.wgsl");
        let masked = |dropout: bool| match dropout {
            true => vec![
                SCHEDULE,
                include_str!("../../shaders/random.wgsl"),
                include_str!("../../shaders/block/dropout.wgsl"),
            ],
            false => vec![include_str!("../../shaders/block/no_dropout.wgsl")],
        };
        let beside = |residual: bool| match residual {
            true => include_str!("../../shaders/block/residual.wgsl"),
            false => include_str!("../../shaders/block/no_residual.wgsl"),
        };
        let mut parts = vec![constants.as_str()];
        match self {
            Block::Statistics(over) => {
                parts.extend([over.wgsl(), total]);
                parts.extend(match over {
                    Over::Rows => vec![include_str!("../../shaders/block/row_statistics.wgsl")],
                    Over::Columns => vec![SCHEDULE, include_str!("../../shaders/block/batch_statistics.wgsl")],
                });
                parts.push(include_str!("../../shaders/block/statistics.wgsl"));
            }
            Block::Normalize { over, activation, keep } => parts.extend([
                include_str!("../../shaders/element/scalar.wgsl"),
                over.wgsl(),
                math,
                activation.wgsl(),
                match keep {
                    true => include_str!("../../shaders/keep/preactivation.wgsl"),
                    false => include_str!("../../shaders/keep/nothing.wgsl"),
                },
                include_str!("../../shaders/block/normalize.wgsl"),
                EACH,
            ]),
            Block::RunningStatistics => {
                parts.extend([SCHEDULE, include_str!("../../shaders/block/running_statistics.wgsl")]);
            }
            Block::NormalizeSums { over, weighted } => parts.extend([
                over.wgsl(),
                total,
                match weighted {
                    true => include_str!("../../shaders/block/scale_weight.wgsl"),
                    false => include_str!("../../shaders/block/unit_weight.wgsl"),
                },
                include_str!("../../shaders/block/normalize_sums.wgsl"),
            ]),
            Block::NormalizeDelta(over) => {
                parts.push(over.wgsl());
                parts.extend(match over {
                    Over::Rows => vec![include_str!("../../shaders/block/row_delta.wgsl")],
                    Over::Columns => vec![SCHEDULE, include_str!("../../shaders/block/batch_delta.wgsl")],
                });
                parts.extend([include_str!("../../shaders/block/normalize_delta.wgsl"), EACH]);
            }
            Block::Join { residual, dropout } => {
                parts.extend(masked(dropout));
                parts.extend([beside(residual), include_str!("../../shaders/block/join.wgsl"), EACH]);
            }
            Block::JoinDelta { activation, residual, dropout } => {
                parts.extend(masked(dropout));
                parts.extend([math, activation.wgsl(), beside(residual)]);
                parts.extend([include_str!("../../shaders/block/join_delta.wgsl"), EACH]);
            }
        }
        parts.join("\n")
    }

    /// The activation that it is compiled for.
    pub(super) fn activation(self) -> Option<Activation> {
        match self {
            Block::Normalize { activation, .. } | Block::JoinDelta { activation, .. } => Some(activation),
            _ => None,
        }
    }
}

/// How many invocations share an item.
fn lanes_of(variant: Variant) -> u32 {
    match variant {
        Variant::Lanes(lanes) => lanes,
        _ => 1,
    }
}

impl std::fmt::Display for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let with = |residual: bool, dropout: bool| {
            [if residual { " + residual" } else { "" }, if dropout { ", dropout" } else { "" }].concat()
        };
        f.pad(&match self {
            Block::Statistics(over) => format!("{} statistics", over.name()),
            Block::Normalize { over, activation, keep } => {
                format!("{} normalize + {activation}{}", over.name(), if *keep { " (keeps n)" } else { "" })
            }
            Block::NormalizeSums { over, weighted } => {
                format!("{} normalize_sums{}", over.name(), if *weighted { " by scale" } else { "" })
            }
            Block::NormalizeDelta(over) => format!("{} normalize_delta", over.name()),
            Block::Join { residual, dropout } => format!("join{}", with(*residual, *dropout)),
            Block::JoinDelta { activation, residual, dropout } => {
                format!("join_delta × {activation}′{}", with(*residual, *dropout))
            }
            Block::RunningStatistics => self.stem().to_owned(),
        })
    }
}
