//! The text of each kernel: which files of `shaders/` it is put together from.

use super::variant::lanes_of;
use super::{Broadcast, Element, Epilogue, Kernel, Load, Mixed, Variant, mixed, sliced, tiled_vector, whole};
use crate::activation::{Activation, Stored};
use crate::graph::PRELUDE;
use crate::loss::Loss;
use crate::network::Bias;
use crate::params::ALIGNMENT;

impl Kernel {
    /// The complete WGSL of `variant`: the hook functions that this kernel is compiled for, then the kernel.
    pub fn wgsl(&self, variant: Variant) -> String {
        self.wgsl_of(variant, Element::Real)
    }

    /// [`Kernel::wgsl`] with the batch, what layers put out and deltas as `stored` says, except for a product's, which
    /// has a text of its own for halves.
    pub(super) fn wgsl_of(&self, variant: Variant, stored: Element) -> String {
        let half = stored == Element::Half;
        const UNIFORM: &str = include_str!("../../shaders/uniform.wgsl");
        const SCHEDULE: &str = include_str!("../../shaders/schedule.wgsl");
        const BINDINGS: &str = include_str!("../../shaders/matmul/bindings.wgsl");
        const LOSS_OF_ROWS: &str = include_str!("../../shaders/loss_sum/of_rows.wgsl");
        let lanes = match variant {
            Variant::Lanes(lanes) => lanes,
            _ => 1,
        };
        let lanes = format!("const LANES: u32 = {lanes}u;\n");
        let vector = variant.reads_vectors();
        const PAIRS: &str = include_str!("../../shaders/element/pairs.wgsl");
        let element = match vector {
            true => include_str!("../../shaders/element/vector.wgsl"),
            false => include_str!("../../shaders/element/scalar.wgsl"),
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
                let (row, loss) = (include_str!("../../shaders/loss/row.wgsl"), whole.loss.wgsl());
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
            Kernel::Gather => parts.extend([stored_as, SCHEDULE, include_str!("../../shaders/gather.wgsl")]),
            Kernel::Matmul { form, epilogue } => {
                let of_elements = match vector {
                    true => include_str!("../../shaders/element/vector_activation.wgsl"),
                    false => include_str!("../../shaders/element/scalar_activation.wgsl"),
                };
                parts.push(element);
                parts.extend(match variant {
                    Variant::Broadcast(Broadcast { load: Load::Pairs, .. }) => {
                        vec![PAIRS, include_str!("../../shaders/matmul/load/pairs.wgsl")]
                    }
                    _ => vec![include_str!("../../shaders/matmul/load/element.wgsl")],
                });
                parts.extend([include_str!("../../shaders/matmul/part.wgsl"), form.wgsl()]);
                parts.extend(match epilogue {
                    Epilogue::Parts => vec![BINDINGS, include_str!("../../shaders/matmul/parts.wgsl")],
                    Epilogue::Update { .. } => vec![],
                    _ => vec![BINDINGS, include_str!("../../shaders/matmul/whole.wgsl")],
                });
                match epilogue {
                    Epilogue::Store | Epilogue::Parts => parts.push(include_str!("../../shaders/matmul/store.wgsl")),
                    Epilogue::Forward { activation, bias, keep } => parts.extend([
                        math([activation], None),
                        activation.wgsl(),
                        of_elements,
                        match bias {
                            Bias::PerUnit => include_str!("../../shaders/bias/per_unit.wgsl"),
                            Bias::Shared => include_str!("../../shaders/bias/shared.wgsl"),
                            Bias::None => include_str!("../../shaders/bias/none.wgsl"),
                        },
                        match keep {
                            true => include_str!("../../shaders/keep/preactivation.wgsl"),
                            false => include_str!("../../shaders/keep/nothing.wgsl"),
                        },
                        include_str!("../../shaders/matmul/forward.wgsl"),
                    ]),
                    Epilogue::Delta { activation, apart } => parts.extend([
                        math([activation], None),
                        activation.wgsl(),
                        of_elements,
                        match apart {
                            true => include_str!("../../shaders/matmul/delta/apart.wgsl"),
                            false => include_str!("../../shaders/matmul/delta/in_place.wgsl"),
                        },
                        include_str!("../../shaders/matmul/delta.wgsl"),
                    ]),
                    Epilogue::Update { rule, bias } => {
                        constants = format!("const HAS_BIAS: bool = {bias};\nconst ALIGNMENT: u32 = {ALIGNMENT}u;\n");
                        let update = include_str!("../../shaders/matmul/update.wgsl");
                        parts.extend([SCHEDULE, rule.wgsl(), &constants, update]);
                        const STRANDS: &str = include_str!("../../shaders/matmul/update/strands.wgsl");
                        parts.extend(match variant {
                            Variant::Tiled | Variant::TiledVector(_) => {
                                vec![STRANDS, include_str!("../../shaders/matmul/update/strip.wgsl")]
                            }
                            Variant::Sliced | Variant::SlicedVector => {
                                vec![STRANDS, include_str!("../../shaders/matmul/update/sums.wgsl")]
                            }
                            _ => vec![include_str!("../../shaders/matmul/update/in_turn.wgsl")],
                        });
                    }
                }
                if matches!(variant, Variant::Naive | Variant::Tiled | Variant::Sliced) {
                    parts.push(include_str!("../../shaders/matmul/operands.wgsl"));
                }
                parts.extend(match variant {
                    Variant::Broadcast(broadcast) => {
                        generated = broadcast.wgsl(form);
                        vec![generated.as_str()]
                    }
                    Variant::Tiled => vec![include_str!("../../shaders/matmul/tiled.wgsl")],
                    Variant::TiledVector(tile) => {
                        generated = tiled_vector::wgsl(form, tile);
                        vec![generated.as_str()]
                    }
                    Variant::Sliced => sliced::TEXT_BY_NUMBERS.to_vec(),
                    Variant::SlicedVector => sliced::TEXT_BY_VECTORS.to_vec(),
                    _ => vec![include_str!("../../shaders/matmul/naive.wgsl")],
                });
            }
            Kernel::Loss { loss, activation } => {
                constants = format!("{lanes}const USES_SOFTMAX: bool = {};\n", loss.uses_softmax());
                scale = mixed::scale_wgsl();
                parts.extend(match half {
                    true => vec![include_str!("../../shaders/half/scaled_delta.wgsl"), &scale],
                    false => vec![include_str!("../../shaders/loss/plain_delta.wgsl")],
                });
                parts.extend([
                    stored_as,
                    SCHEDULE,
                    math([activation], Some(loss)),
                    activation.wgsl(),
                    include_str!("../../shaders/loss/row.wgsl"),
                    loss.wgsl(),
                    match activation.stored() {
                        Stored::Output => include_str!("../../shaders/loss/stored_output.wgsl"),
                        Stored::Preactivation => include_str!("../../shaders/loss/stored_preactivation.wgsl"),
                    },
                    &constants,
                    include_str!("../../shaders/loss.wgsl"),
                ]);
            }
            Kernel::LossSum => parts.extend([&lanes, LOSS_OF_ROWS, include_str!("../../shaders/loss_sum.wgsl")]),
            Kernel::ColumnSum => parts.extend([
                stored_as,
                element,
                match variant {
                    Variant::Strided | Variant::StridedVector => include_str!("../../shaders/column_sum_strided.wgsl"),
                    _ => include_str!("../../shaders/column_sum_naive.wgsl"),
                },
            ]),
            Kernel::Update(rule) => {
                parts.push(match half {
                    true => include_str!("../../shaders/half/skip_overflow.wgsl"),
                    false => include_str!("../../shaders/update/every_step.wgsl"),
                });
                constants = format!("const TURNS: u32 = {}u;\n", variant.turns());
                parts.extend([&constants, SCHEDULE, element, rule.wgsl(), include_str!("../../shaders/update.wgsl")]);
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
pub(super) fn math(activations: impl IntoIterator<Item = Activation>, loss: Option<Loss>) -> &'static str {
    let from_text = activations.into_iter().any(|activation| activation.expressions().is_some())
        || loss.is_some_and(|loss| loss.expressions().is_some());
    match from_text {
        true => PRELUDE,
        false => include_str!("../../shaders/math.wgsl"),
    }
}
