//! The text of a fused kernel: tables of the layers, which are written for each network, and the loops over them.

use super::{Fused, Layout, Pass, Place, Source, broadcast, padded};
use crate::activation::Activation;
use crate::kernel::mixed::scale_wgsl;
use crate::kernel::whole::activation_hooks;
use crate::kernel::{Broadcast, Load, Variant, math};
use crate::network::Bias;
use crate::precision::Precision;
use std::fmt::Write;

/// Whether scratch memory, weights and inputs are read and written as vectors of four.
fn reads_vectors(variant: Variant) -> bool {
    matches!(variant, Variant::Broadcast(_) | Variant::Tiled)
}

impl Fused {
    /// The complete WGSL behind the uniform.
    pub(in crate::kernel) fn wgsl(&self, variant: Variant) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text, variant);
        match variant {
            // Lanes are numbered as broadcasts number them.
            Variant::Broadcast(_) => text.replace("local_invocation_index", "subgroup_invocation_id"),
            _ => text,
        }
    }

    fn write(&self, w: &mut String, variant: Variant) -> std::fmt::Result {
        let layout = self.layout();
        let vectors = reads_vectors(variant);
        writeln!(w, "alias Stored = {};", self.precision)?;
        self.write_tables(w, &layout, variant)?;
        let activations = || self.network.layers.iter().map(|layer| layer.activation);
        let loss = match self.pass {
            Pass::Training { loss, .. } => Some(loss),
            Pass::Prediction => None,
        };
        w.push_str(math(activations(), loss));
        w.push_str(&activation_hooks(activations()));
        self.write_functions(w, if vectors { "vec4<f32>" } else { "f32" })?;
        w.push_str(include_str!("../../../shaders/fused/slab.wgsl"));
        w.push_str(match variant {
            Variant::Broadcast(_) => include_str!("../../../shaders/fused/subgroup.wgsl"),
            _ => include_str!("../../../shaders/fused/barriers.wgsl"),
        });
        if vectors {
            w.push_str(match variant {
                Variant::Broadcast(Broadcast { load: Load::Pairs, .. }) => concat!(
                    include_str!("../../../shaders/element/pairs.wgsl"),
                    include_str!("../../../shaders/fused/memory/pairs.wgsl")
                ),
                _ => include_str!("../../../shaders/fused/memory/vectors.wgsl"),
            });
            w.push_str(include_str!("../../../shaders/fused/vectors.wgsl"));
            self.write_vector_access(w, &layout)?;
        } else {
            w.push_str(include_str!("../../../shaders/fused/scalars.wgsl"));
        }
        match variant {
            Variant::Broadcast(_) => broadcast::forward(w)?,
            Variant::Tiled => w.push_str(include_str!("../../../shaders/fused/tiled.wgsl")),
            Variant::Cooperative(matrices) => {
                w.push_str(include_str!("../../../shaders/fused/elements.wgsl"));
                w.push_str(include_str!("../../../shaders/fused/cooperative.wgsl"));
                matrices.write_tile(w)?;
            }
            _ => w.push_str(include_str!("../../../shaders/fused/naive.wgsl")),
        }
        let Pass::Training { loss, source } = self.pass else {
            if let Variant::Cooperative(_) = variant {
                w.push_str(include_str!("../../../shaders/fused/cooperative_forward.wgsl"));
            }
            w.push_str(include_str!("../../../shaders/fused/batch.wgsl"));
            w.push_str(include_str!("../../../shaders/fused/prediction.wgsl"));
            return Ok(());
        };
        if self.precision == Precision::F16 {
            w.push_str(include_str!("../../../shaders/fused/scaled.wgsl"));
            w.push_str(&scale_wgsl());
        } else {
            w.push_str(include_str!("../../../shaders/fused/unscaled.wgsl"));
        }
        self.write_input_gradient(w, source, vectors)?;
        match variant {
            Variant::Broadcast(_) => {
                broadcast::gradients(w)?;
                broadcast::backward(w)?;
            }
            Variant::Tiled => {
                w.push_str(include_str!("../../../shaders/fused/accumulate.wgsl"));
                w.push_str(include_str!("../../../shaders/fused/tiled_backward.wgsl"));
            }
            _ => {
                w.push_str(match variant {
                    Variant::Cooperative(_) => include_str!("../../../shaders/fused/bias_gradient_strands.wgsl"),
                    _ => include_str!("../../../shaders/fused/bias_gradient.wgsl"),
                });
                w.push_str(include_str!("../../../shaders/fused/accumulate.wgsl"));
                w.push_str(match variant {
                    Variant::Cooperative(_) => concat!(
                        include_str!("../../../shaders/fused/elements_backward.wgsl"),
                        include_str!("../../../shaders/fused/cooperative_backward.wgsl")
                    ),
                    _ => include_str!("../../../shaders/fused/naive_backward.wgsl"),
                });
            }
        }
        w.push_str(match source {
            Source::Gathered => include_str!("../../../shaders/fused/gathered.wgsl"),
            Source::Batch | Source::EveryGradient => include_str!("../../../shaders/fused/batch.wgsl"),
        });
        w.push_str(include_str!("../../../shaders/schedule.wgsl"));
        w.push_str(include_str!("../../../shaders/loss/row.wgsl"));
        w.push_str(loss.wgsl());
        writeln!(w, "const USES_SOFTMAX: bool = {};", loss.uses_softmax())?;
        w.push_str(include_str!("../../../shaders/fused/training.wgsl"));
        Ok(())
    }

    /// Weights and biases as vectors of four. Where a width is no multiple of 4, the vectors of the arena are not those of
    /// a row, and a part begins with a copy of the weights whose rows are padded.
    fn write_vector_access(&self, w: &mut String, layout: &Layout) -> std::fmt::Result {
        writeln!(w, "fn bias_at(layer: Layer, j: u32) -> vec4<f32> {{")?;
        writeln!(
            w,
            "  return vec4<f32>(bias_of(layer, j), bias_of(layer, j + 1u), bias_of(layer, j + 2u), bias_of(layer, j + 3u));\n}}"
        )?;
        let Some(packed) = layout.packed else {
            writeln!(w, "fn weight_at(base: u32, i: u32) -> vec4<f32> {{ return of_numbers(params[i]); }}")?;
            return writeln!(w, "fn prepare(base: u32, local: u32) {{}}");
        };
        writeln!(w, "fn weight_at(base: u32, i: u32) -> vec4<f32> {{ return vector_at(base / 4u + i); }}")?;
        writeln!(w, "fn pack(inputs: u32, count: u32, source: u32, into: u32, local: u32) {{")?;
        writeln!(w, "  let stride = padded(inputs);")?;
        writeln!(w, "  for (var i = 4u * local; i < count * stride; i += 4u * WORKGROUP) {{")?;
        writeln!(w, "    let k = i % stride;\n    let at = source + i / stride * inputs;")?;
        let elements =
            (0..4).map(|e| format!("params[at + min(k + {e}u, inputs - 1u)]")).collect::<Vec<_>>().join(", ");
        writeln!(w, "    let wanted = vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(inputs);")?;
        writeln!(w, "    set_vector(into + i, select(vec4<f32>(0.0), vec4<f32>({elements}), wanted));\n  }}\n}}")?;
        writeln!(w, "fn prepare(base: u32, local: u32) {{")?;
        let mut to = packed;
        for place in &layout.layers {
            let Place { inputs, outputs, weight, .. } = *place;
            writeln!(w, "  pack({inputs}u, {outputs}u, {weight}u, base + {to}u, local);")?;
            to += outputs * padded(inputs);
        }
        writeln!(w, "  synchronize();\n}}")
    }

    fn write_input_gradient(&self, w: &mut String, source: Source, vectors: bool) -> std::fmt::Result {
        let every = source == Source::EveryGradient;
        if every {
            writeln!(w, "@group(0) @binding(8) var<storage, read_write> input_gradient: array<f32>;")?;
        }
        let value = if vectors { "vec4<f32>" } else { "f32" };
        writeln!(w, "fn input_gradient_at(row: u32, k: u32, x: {value}) {{")?;
        if every && vectors {
            writeln!(
                w,
                "  let y = inverse_scale() * x;\n  for (var e = k; e < min(k + 4u, INPUTS); e++) {{ input_gradient[row * INPUTS + e] = y[e - k]; }}"
            )?;
        } else if every {
            writeln!(w, "  input_gradient[row * INPUTS + k] = inverse_scale() * x;")?;
        }
        writeln!(w, "}}")
    }

    fn write_tables(&self, w: &mut String, layout: &Layout, variant: Variant) -> std::fmt::Result {
        let in_software = matches!(variant, Variant::Broadcast(_));
        let vectors = reads_vectors(variant);
        writeln!(w, "const LAYERS: u32 = {}u;", layout.layers.len())?;
        writeln!(w, "const LOWEST: u32 = {}u;", layout.lowest)?;
        writeln!(w, "const INPUTS: u32 = {}u;", self.network.inputs)?;
        writeln!(w, "const OUTPUTS: u32 = {}u;", self.network.outputs())?;
        writeln!(w, "const SLAB: u32 = {}u;", layout.slab)?;
        writeln!(w, "const SCRATCH: u32 = {}u;", layout.scratch)?;
        writeln!(w, "const PARTIALS: u32 = {}u;", layout.partials)?;
        let names = self.bindings();
        let name = |index: u32| names.iter().find(|spec| spec.index == index).map_or("", |spec| spec.name);
        let memory = if vectors { "Memory" } else { "Stored" };
        let sums = if in_software { "vec4<f32>" } else { "f32" };
        let of = |whole: bool| if vectors && whole { "Numbers" } else { "f32" };
        let input_vectors = vectors && self.network.inputs == padded(self.network.inputs);
        let (inputs, params) = (of(input_vectors), of(layout.packed.is_none()));
        writeln!(w, "@group(0) @binding(3) var<storage, read> {}: array<{inputs}>;", name(3))?;
        writeln!(w, "@group(0) @binding(5) var<storage, read> params: array<{params}>;")?;
        writeln!(w, "@group(0) @binding(6) var<storage, read_write> scratch: array<{memory}>;")?;
        let element = |e: usize| format!("{}[at + min(i + {e}u, INPUTS - 1u)]", name(3));
        writeln!(w, "fn inputs_at(sample: u32, i: u32) -> vec4<f32> {{\n  let at = sample * INPUTS;")?;
        if input_vectors {
            writeln!(w, "  return of_numbers({}[(at + i) / 4u]);\n}}", name(3))?;
        } else {
            let elements = (0..4).map(element).collect::<Vec<_>>().join(", ");
            writeln!(w, "  let wanted = vec4<u32>(i, i + 1u, i + 2u, i + 3u) < vec4<u32>(INPUTS);")?;
            writeln!(w, "  return select(vec4<f32>(0.0), vec4<f32>({elements}), wanted);\n}}")?;
        }
        match self.pass {
            Pass::Prediction => {
                writeln!(w, "@group(0) @binding(7) var<storage, read_write> output: array<f32>;")?;
            }
            Pass::Training { .. } => {
                writeln!(w, "@group(0) @binding(2) var<storage, read> clock: array<u32>;")?;
                writeln!(w, "@group(0) @binding(4) var<storage, read> {}: array<f32>;", name(4))?;
                writeln!(
                    w,
                    "fn target_at(sample: u32, j: u32) -> f32 {{ return {}[sample * (OUTPUTS + u.dims.z) + j]; }}",
                    name(4)
                )?;
                writeln!(w, "@group(0) @binding(7) var<storage, read_write> partials: array<{sums}>;")?;
                if let Some(last) = self.network.layers.last() {
                    let hook = last.activation.hook();
                    writeln!(w, "fn output_slope(s: f32) -> f32 {{ return activation_derivative_{hook}(s); }}")?;
                }
                let at = if in_software { "i / 4u][i % 4u" } else { "i" };
                writeln!(w, "fn get_partial(i: u32) -> f32 {{ return partials[{at}]; }}")?;
                writeln!(w, "fn set_partial(i: u32, x: f32) {{ partials[{at}] = x; }}")?;
            }
        }
        let numbers = [
            "inputs",
            "outputs",
            "weight",
            "bias",
            "input",
            "output",
            "stored",
            "delta",
            "below",
            "below_stored",
            "weight_gradient",
            "bias_gradient",
        ];
        let flags = ["has_bias", "shares_bias", "wants_weight", "wants_bias", "wants_below"];
        writeln!(w, "struct Layer {{")?;
        for name in numbers {
            writeln!(w, "  {name}: u32,")?;
        }
        for name in flags {
            writeln!(w, "  {name}: bool,")?;
        }
        writeln!(w, "}}")?;
        writeln!(w, "fn layer_of(l: u32) -> Layer {{\n  switch l {{")?;
        let mut packed = layout.packed;
        for (l, place) in layout.layers.iter().enumerate() {
            let weight = packed.filter(|_| vectors).unwrap_or(place.weight);
            packed = packed.map(|start| start + place.outputs * padded(place.inputs));
            let below = l.checked_sub(1).map(|below| layout.layers[below]);
            let numbers = [
                place.inputs,
                place.outputs,
                weight,
                place.bias,
                place.input,
                place.output,
                place.stored,
                place.delta,
                below.map_or(0, |below| below.delta),
                below.map_or(0, |below| below.stored),
                place.weight_gradient,
                place.bias_gradient,
            ];
            let flags = [
                place.bias_mode != Bias::None,
                place.bias_mode == Bias::Shared,
                place.wants_weight,
                place.wants_bias,
                place.wants_below,
            ];
            let fields = numbers.iter().map(|n| format!("{n}u")).chain(flags.iter().map(bool::to_string));
            let label = if l + 1 == layout.layers.len() { "default".to_owned() } else { format!("case {l}u") };
            writeln!(w, "    {label}: {{ return Layer({}); }}", fields.collect::<Vec<_>>().join(", "))?;
        }
        writeln!(w, "  }}\n}}")
    }

    /// The bias, and the functions that choose a layer's activation, for one number or for four.
    fn write_functions(&self, w: &mut String, value: &str) -> std::fmt::Result {
        let vectors = value != "f32";
        let params =
            if vectors && self.layout().packed.is_none() { "of_numbers(params[i / 4u])[i % 4u]" } else { "params[i]" };
        writeln!(w, "fn bias_of(layer: Layer, j: u32) -> f32 {{")?;
        writeln!(w, "  if !layer.has_bias {{ return 0.0; }}")?;
        writeln!(w, "  let i = layer.bias + select(min(j, layer.outputs - 1u), 0u, layer.shares_bias);")?;
        writeln!(w, "  return {params};\n}}")?;
        // Each activation with the layers that have it.
        let mut kinds: Vec<(Activation, Vec<String>)> = Vec::new();
        for (l, layer) in self.network.layers.iter().enumerate() {
            let place = format!("(l == {l}u)");
            match kinds.iter_mut().find(|(activation, _)| *activation == layer.activation) {
                Some((_, places)) => places.push(place),
                None => kinds.push((layer.activation, vec![place])),
            }
        }
        for (name, hook) in [("activate", "activation"), ("derivative", "activation_derivative")] {
            writeln!(w, "fn {name}(l: u32, x: {value}) -> {value} {{")?;
            for (i, (activation, places)) in kinds.iter().enumerate() {
                let call = |x: &str| format!("{hook}_{}({x})", activation.hook());
                let result = match vectors {
                    true => format!("vec4<f32>({})", ["x.x", "x.y", "x.z", "x.w"].map(call).join(", ")),
                    false => call("x"),
                };
                // Chosen without a branch: behind one, FXC takes the wait at the end of a layer for one that not all come to.
                match i {
                    0 => writeln!(w, "  var y = {result};")?,
                    _ => writeln!(w, "  y = select(y, {result}, {});", places.join(" | "))?,
                }
            }
            writeln!(w, "  return y;\n}}")?;
        }
        Ok(())
    }
}
