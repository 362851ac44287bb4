//! The kernels of mixed precision: matrices in f16, sums in f32, deltas times the dynamic loss scale. Where a kernel of
//! f32 has the same formula its twin serves: an executor rounds what lies in a slot of halves.

use super::variant::{LEAST_SLICED, largest_tile};
use super::{
    Abilities, Access, BindingSpec, Cooperative, Element, Epilogue, Form, Kernel, Variant, binding, linear,
    part_length, sliced,
};
use crate::activation::Activation;
use crate::loss::Loss;
use crate::network::Bias;
use crate::optimizer::Rule;

/// A kernel of mixed precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mixed {
    /// Rounds parameters to f16, which products take them in: `dims = [length]`.
    Cast,
    /// [`Kernel::Gather`] with the inputs in f16.
    Gather,
    /// [`Kernel::Matmul`] of f16 operands with sums in f32; a gradient is stored in f32, all else in f16.
    /// `dims = [m, n, k, first]`, where `B` begins at element `first` of its binding, or the parts of
    /// [`Epilogue::Parts`], whose `B` is no weight.
    Matmul {
        /// Which operand is transposed.
        form: Form,
        /// What happens to each sum before it is stored.
        epilogue: Epilogue,
    },
    /// [`Kernel::Loss`] of outputs in f16; the delta, in f16, is multiplied by the dynamic loss scale.
    Loss {
        /// The loss.
        loss: Loss,
        /// The activation of the output layer.
        activation: Activation,
    },
    /// [`Kernel::ColumnSum`] of a matrix in f16.
    ColumnSum,
    /// Divides gradients by the dynamic loss scale, and notes whether any is not finite: `dims = [length]`.
    Unscale,
    /// [`Kernel::Update`], unless a gradient was not finite.
    Update(Rule),
    /// [`Kernel::LossSum`] of the parts of a fused step, behind whose losses stands whether one overflowed, and
    /// [`Mixed::Adapt`]: `dims = [parts]`.
    LossSum,
    /// Adapts the dynamic loss scale: halves it after a step that was skipped, doubles it after
    /// [`GROWTH_INTERVAL`] steps that were not.
    Adapt,
}

/// The logarithm to base 2 of the dynamic loss scale that a slot of zeros stands for.
pub const FIRST_LOG_SCALE: i32 = 16;

/// The least and the largest logarithm to base 2 of the dynamic loss scale: 1 / scale stays a normal f32, and a scale
/// that gradients of 0 let grow stays finite.
pub const LOG_SCALES: std::ops::RangeInclusive<i32> = -14..=24;

/// Steps without an overflow after which the dynamic loss scale is doubled, as in PyTorch's `GradScaler`.
pub const GROWTH_INTERVAL: u32 = 2000;

/// Elements of [`Slot::Scaler`](crate::plan::Slot::Scaler): the logarithm to base 2 of the dynamic loss scale less
/// [`FIRST_LOG_SCALE`], steps since it changed, steps skipped so far; with a fourth it is a whole vector, which a uniform
/// buffer has to be.
pub const SCALER_LEN: usize = 4;

impl Mixed {
    /// The kernel of mixed precision for the formula of `kernel`; `kernel` itself where there is none.
    pub fn of(kernel: Kernel) -> Kernel {
        Kernel::Mixed(match kernel {
            Kernel::Gather => Mixed::Gather,
            Kernel::Matmul { form, epilogue } if Mixed::has(epilogue) => Mixed::Matmul { form, epilogue },
            Kernel::Loss { loss, activation } => Mixed::Loss { loss, activation },
            Kernel::ColumnSum => Mixed::ColumnSum,
            Kernel::Update(rule) => Mixed::Update(rule),
            other => return other,
        })
    }

    /// Whether products of f16 have this epilogue. An update waits for what finds an overflow in any gradient.
    fn has(epilogue: Epilogue) -> bool {
        !matches!(epilogue, Epilogue::Delta { apart: true, .. } | Epilogue::Update { .. })
    }

    /// The kernel of f32 with the same formula; `None` where mixed precision has a formula of its own.
    pub fn base(self) -> Option<Kernel> {
        match self {
            Mixed::Gather => Some(Kernel::Gather),
            Mixed::Matmul { form, epilogue } => Some(Kernel::Matmul { form, epilogue }),
            Mixed::Loss { loss, activation } => Some(Kernel::Loss { loss, activation }),
            Mixed::ColumnSum => Some(Kernel::ColumnSum),
            Mixed::Update(rule) => Some(Kernel::Update(rule)),
            Mixed::LossSum => Some(Kernel::LossSum),
            Mixed::Cast | Mixed::Unscale | Mixed::Adapt => None,
        }
    }

    pub(super) fn stem(self) -> &'static str {
        match self {
            Mixed::Cast => "cast",
            Mixed::Gather => "gather",
            Mixed::Matmul { .. } => "matmul",
            Mixed::Loss { .. } => "loss",
            Mixed::ColumnSum => "column_sum",
            Mixed::Unscale => "unscale",
            Mixed::Update(_) => "update",
            Mixed::LossSum => "loss_sum",
            Mixed::Adapt => "adapt",
        }
    }

    pub(super) fn bindings(self) -> Vec<BindingSpec> {
        use Access::{Read, Write};
        use Element::{Half, Real, Word};
        let mut all = self.base().map_or(Vec::new(), |kernel| kernel.bindings());
        match self {
            Mixed::Cast => all.extend([binding(1, "values", Read, Real), binding(2, "halves", Write, Half)]),
            Mixed::Loss { .. } => all.push(binding(8, "scaler", Read, Real)),
            Mixed::Unscale => all.extend([
                binding(1, "scaler", Read, Real),
                binding(2, "overflow", Write, Word),
                binding(3, "gradients", Write, Real),
            ]),
            Mixed::Update(_) => all.push(binding(8, "overflow", Read, Word)),
            Mixed::LossSum => all.push(binding(4, "scaler", Write, Real)),
            Mixed::Adapt => all.extend([binding(1, "scaler", Write, Real), binding(2, "overflow", Write, Word)]),
            Mixed::Gather | Mixed::Matmul { .. } | Mixed::ColumnSum => {}
        }
        let halves: &[&str] = match self {
            Mixed::Gather => &["input"],
            Mixed::Matmul { epilogue: Epilogue::Store | Epilogue::Parts, .. } => &["a", "b"],
            Mixed::Matmul { .. } => &["a", "b", "c", "preactivation"],
            Mixed::Loss { .. } => &["output", "stored"],
            Mixed::ColumnSum => &["matrix"],
            _ => &[],
        };
        all.iter_mut().filter(|spec| halves.contains(&spec.name)).for_each(|spec| spec.element = Half);
        all
    }

    pub(super) fn variants(self) -> Vec<Variant> {
        match (self, self.base()) {
            (Mixed::Matmul { .. }, _) => {
                let usual = Cooperative::EMULATED;
                let emulated = [usual, usual.on_vectors(), usual.enlarged()].map(Variant::Cooperative);
                [vec![Variant::Naive, Variant::Tiled, Variant::Sliced], emulated.to_vec()].concat()
            }
            (_, Some(kernel)) => kernel.variants(Abilities::default()),
            (_, None) => vec![Variant::Naive],
        }
    }

    pub(super) fn heuristic(self, dims: [u32; 4]) -> Variant {
        match (self, self.base()) {
            (Mixed::Matmul { epilogue, .. }, _) => match largest_tile(epilogue, dims) {
                None if dims[2] >= LEAST_SLICED => Variant::Sliced,
                Some(_) if dims[0].min(dims[1]) >= 8 => Variant::Tiled,
                _ => Variant::Naive,
            },
            (_, None) => Variant::Naive,
            (_, Some(kernel)) => kernel.heuristic(dims, Abilities::default()),
        }
    }

    pub(super) fn lengths(self, dims: [u32; 4]) -> Vec<usize> {
        let (x, first) = (dims[0] as usize, dims[3] as usize);
        let mut all = self.base().map_or(Vec::new(), |kernel| kernel.lengths(dims));
        match self {
            Mixed::Cast => all.extend([x, x]),
            Mixed::Matmul { epilogue, .. } if epilogue != Epilogue::Parts => all[1] += first,
            Mixed::Loss { .. } => all.push(SCALER_LEN),
            Mixed::Unscale => all.extend([SCALER_LEN, 1, x]),
            Mixed::Update(_) => all.push(1),
            Mixed::LossSum => {
                all[0] *= 2;
                all.push(SCALER_LEN);
            }
            Mixed::Adapt => all.extend([SCALER_LEN, 1]),
            Mixed::Gather | Mixed::Matmul { .. } | Mixed::ColumnSum => {}
        }
        all
    }

    pub(super) fn runs(self, variant: Variant, dims: [u32; 4]) -> bool {
        match self {
            Mixed::Matmul { form, .. } => {
                !matches!(variant, Variant::Cooperative(matrices) if matrices.vector) || form.rows_are_vectors(dims)
            }
            _ => self.base().is_none_or(|kernel| kernel.runs(variant, dims)),
        }
    }

    pub(super) fn loop_iterations(self, variant: Variant, dims: [u32; 4]) -> u64 {
        let Mixed::Matmul { epilogue, .. } = self else {
            return self.base().map_or(0, |kernel| kernel.loop_iterations(variant, dims));
        };
        let [.., z, w] = dims.map(u64::from);
        let terms = if epilogue == Epilogue::Parts { part_length(z, w) } else { z };
        match variant {
            Variant::Cooperative(cooperative) => cooperative.loop_iterations(terms),
            Variant::Tiled => terms.div_ceil(16) * (1 + 16 + 8) + 16,
            Variant::Sliced => sliced::loop_iterations(terms),
            _ => terms,
        }
    }

    pub(super) fn workgroups(self, variant: Variant, dims: [u32; 4]) -> [u32; 3] {
        match (self, self.base()) {
            (Mixed::Matmul { epilogue, .. }, _) => {
                let tile = match variant {
                    Variant::Cooperative(cooperative) => cooperative.tile(),
                    Variant::Tiled => 64,
                    Variant::Sliced => sliced::TILE,
                    _ => 16,
                };
                let [row_groups, folds, _] = linear(u64::from(dims[0].div_ceil(tile)));
                [dims[1].div_ceil(tile), row_groups, if epilogue == Epilogue::Parts { dims[3] } else { folds }]
            }
            (_, Some(kernel)) => kernel.workgroups(variant, dims),
            (Mixed::Adapt, None) => [1, 1, 1],
            (_, None) => linear(u64::from(dims[0]).div_ceil(256)),
        }
    }

    pub(super) fn work(self, dims: [u32; 4]) -> (f64, f64) {
        let x = f64::from(dims[0]);
        match (self, self.base()) {
            (Mixed::Matmul { .. } | Mixed::ColumnSum, Some(kernel)) => {
                let (operations, bytes) = kernel.work(dims);
                (operations, bytes / 2.0)
            }
            (_, Some(kernel)) => kernel.work(dims),
            (Mixed::Cast, None) => (0.0, 6.0 * x),
            (Mixed::Unscale, None) => (x, 8.0 * x),
            (_, None) => (0.0, 0.0),
        }
    }

    pub(super) fn wgsl(self, variant: Variant) -> String {
        const UNIFORM: &str = include_str!("../../shaders/uniform.wgsl");
        let generated;
        let (enable, parts) = match self {
            Mixed::Cast => ("enable f16;\n", vec![UNIFORM, include_str!("../../shaders/half/cast.wgsl")]),
            Mixed::Unscale => {
                generated = scale_wgsl();
                ("", vec![UNIFORM, &generated, include_str!("../../shaders/half/unscale.wgsl")])
            }
            Mixed::Adapt => {
                generated = adapt_wgsl();
                ("", vec![UNIFORM, &generated, include_str!("../../shaders/half/adapt_step.wgsl")])
            }
            Mixed::LossSum => {
                let lanes = if let Variant::Lanes(lanes) = variant { lanes } else { 1 };
                generated = format!("const LANES: u32 = {lanes}u;\n{}", adapt_wgsl());
                let of_parts = include_str!("../../shaders/loss_sum/of_parts.wgsl");
                ("", vec![UNIFORM, &generated, of_parts, include_str!("../../shaders/loss_sum.wgsl")])
            }
            Mixed::Matmul { form, epilogue } => {
                let mut parts = vec![
                    UNIFORM,
                    include_str!("../../shaders/element/scalar.wgsl"),
                    match variant {
                        Variant::Cooperative(matrices) if matrices.vector => {
                            "alias Operand = vec4<f16>;\nconst OPERAND_WIDTH: u32 = 4u;\n"
                        }
                        _ => "alias Operand = f16;\nconst OPERAND_WIDTH: u32 = 1u;\n",
                    },
                    include_str!("../../shaders/matmul/part.wgsl"),
                    include_str!("../../shaders/half/matmul/bindings.wgsl"),
                    form.wgsl(),
                ];
                parts.extend(match epilogue {
                    Epilogue::Parts => [
                        include_str!("../../shaders/matmul/parts.wgsl"),
                        include_str!("../../shaders/half/matmul/first_of_all.wgsl"),
                    ],
                    _ => [
                        include_str!("../../shaders/matmul/whole.wgsl"),
                        include_str!("../../shaders/half/matmul/first_of_weight.wgsl"),
                    ],
                });
                match epilogue {
                    Epilogue::Store | Epilogue::Parts => {
                        parts.push(include_str!("../../shaders/half/matmul/store.wgsl"))
                    }
                    Epilogue::Forward { activation, bias, keep } => parts.extend([
                        super::math([activation], None),
                        activation.wgsl(),
                        bias_wgsl(bias),
                        match keep {
                            true => include_str!("../../shaders/half/keep.wgsl"),
                            false => include_str!("../../shaders/keep/nothing.wgsl"),
                        },
                        include_str!("../../shaders/half/matmul/forward.wgsl"),
                    ]),
                    Epilogue::Delta { activation, apart: false } => {
                        let delta = include_str!("../../shaders/half/matmul/delta.wgsl");
                        parts.extend([super::math([activation], None), activation.wgsl(), delta]);
                    }
                    // Without an epilogue the text is refused.
                    Epilogue::Delta { apart: true, .. } | Epilogue::Update { .. } => {}
                }
                let mut enable = "enable f16;\n";
                if !matches!(variant, Variant::Cooperative(_)) {
                    parts.push(include_str!("../../shaders/half/matmul/operands.wgsl"));
                }
                parts.extend(match variant {
                    Variant::Cooperative(cooperative) => {
                        enable = cooperative.enable();
                        generated = cooperative.wgsl();
                        vec![generated.as_str()]
                    }
                    Variant::Tiled => vec![include_str!("../../shaders/matmul/tiled.wgsl")],
                    Variant::Sliced => sliced::TEXT_BY_NUMBERS.to_vec(),
                    _ => vec![include_str!("../../shaders/matmul/naive.wgsl")],
                });
                (enable, parts)
            }
            Mixed::Gather => return Kernel::Gather.wgsl_of(variant, Element::Half),
            Mixed::Loss { loss, activation } => {
                return Kernel::Loss { loss, activation }.wgsl_of(variant, Element::Half);
            }
            Mixed::ColumnSum => return Kernel::ColumnSum.wgsl_of(variant, Element::Half),
            Mixed::Update(rule) => return Kernel::Update(rule).wgsl_of(variant, Element::Half),
        };
        enable.to_owned() + &parts.join("\n")
    }
}

/// The functions `scale` and `inverse_scale`.
pub(super) fn scale_wgsl() -> String {
    format!("const FIRST_LOG_SCALE: i32 = {FIRST_LOG_SCALE};\n{}", include_str!("../../shaders/half/scale.wgsl"))
}

/// The function `adapt`.
fn adapt_wgsl() -> String {
    let [least, most] = [LOG_SCALES.start(), LOG_SCALES.end()].map(|log| log - FIRST_LOG_SCALE);
    format!(
        "const LEAST: f32 = {least};\nconst MOST: f32 = {most};\nconst GROWTH_INTERVAL: f32 = {GROWTH_INTERVAL};\n{}",
        include_str!("../../shaders/half/adapt.wgsl")
    )
}

fn bias_wgsl(bias: Bias) -> &'static str {
    match bias {
        Bias::PerUnit => include_str!("../../shaders/bias/per_unit.wgsl"),
        Bias::Shared => include_str!("../../shaders/bias/shared.wgsl"),
        Bias::None => include_str!("../../shaders/bias/none.wgsl"),
    }
}

impl Kernel {
    /// Every kernel of mixed precision: one for each of f32 that touches a matrix, and those of its own.
    pub(super) fn all_mixed(of_f32: &[Kernel]) -> Vec<Kernel> {
        let own = [Mixed::Cast, Mixed::Unscale, Mixed::Adapt, Mixed::LossSum].map(Kernel::Mixed);
        let others = of_f32.iter().cloned().map(Mixed::of).filter(|kernel| matches!(kernel, Kernel::Mixed(_)));
        own.into_iter().chain(others).collect()
    }
}

impl std::fmt::Display for Mixed {
    /// The kernel of f32 with `f16` in front: `f16 matmul_nt + bias + sigmoid`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.base() {
            Some(kernel) => write!(f, "f16 {kernel}"),
            None => f.write_str(self.stem()),
        }
    }
}
