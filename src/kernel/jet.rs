//! Kernels for losses that contain derivatives of the network's output: what happens to jets between matrix products.
//! A matrix of jets is `[components · batch, width]`, component by component; texts are generated from the graph.

use super::{Access, BindingSpec, Element, binding, linear};
use crate::activation::Activation;
use crate::graph::Function;
use crate::jet::Components;
use crate::loss::Equation;
use crate::network::Bias;
use crate::plan::ScheduleEntry;
use crate::{Loss, Result};
use std::fmt::Write;

/// What a kernel of jets is compiled for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Jet {
    /// The components of every jet.
    pub components: Components,
    /// What is computed.
    pub pass: JetPass,
    function: Option<Function>,
}

/// What a kernel of jets computes. With N for the elements of one component:
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JetPass {
    /// The jets of the inputs by themselves: `x`, then ones and zeros. `dims = [batch, inputs]`
    Input,
    /// `z ← z + bias` and the jet of `f(z)`. `dims = [batch, outputs]`
    Activation {
        /// `f`
        activation: Activation,
        /// Where the bias comes from.
        bias: Bias,
    },
    /// From the derivatives by the jet of `f(z)` to those by the jet of `z`, in place. `dims = [batch, outputs]`
    Delta {
        /// `f`
        activation: Activation,
    },
    /// The loss of each row and its derivatives by the jets of the outputs. `dims = [batch, outputs, inputs, data]`
    Loss(Equation),
    /// Adds the derivatives by the inputs that stand in the equation themselves to those that came through the network.
    /// `dims = [batch, outputs, inputs, data]`
    InputGradient(Equation),
}

impl Jet {
    /// A kernel of jets.
    ///
    /// # Errors
    /// Those of [`Components::forward`].
    pub fn new(components: Components, pass: JetPass) -> Result<Self> {
        let function = match pass {
            JetPass::Input => None,
            JetPass::Activation { activation, .. } => Some(components.forward(activation)?),
            JetPass::Delta { activation } => Some(components.backward(activation)?),
            JetPass::Loss(equation) | JetPass::InputGradient(equation) => Some(equation.function().clone()),
        };
        Ok(Jet { components, pass, function })
    }

    /// What is computed of the numbers of an element, or of a row.
    pub(crate) fn function(&self) -> Option<&Function> {
        self.function.as_ref()
    }

    /// One of every kind, for checks.
    pub(super) fn samples() -> Vec<Jet> {
        let second = Components::closure([vec![0, 0], vec![0, 1]]);
        let third = Components::closure([vec![0, 0, 0]]);
        let of = |components: &Components, pass| Jet::new(components.clone(), pass).ok();
        let smooth = Activation::ALL.iter().filter(|activation| activation.is_smooth().unwrap_or(false));
        let mut all: Vec<_> = smooth
            .zip(Bias::ALL.iter().cycle())
            .flat_map(|(&activation, &bias)| {
                [
                    of(&second, JetPass::Activation { activation, bias }),
                    of(&second, JetPass::Delta { activation }),
                    of(&third, JetPass::Delta { activation }),
                ]
            })
            .collect();
        all.push(of(&second, JetPass::Input));
        for loss in sample_equations() {
            if let Loss::Equation(equation) = loss {
                all.push(of(equation.components(), JetPass::Loss(equation)));
                all.push(of(equation.components(), JetPass::InputGradient(equation)));
            }
        }
        all.into_iter().flatten().collect()
    }

    pub(crate) fn stem(&self) -> &'static str {
        match self.pass {
            JetPass::Input => "jet_input",
            JetPass::Activation { .. } => "jet_activation",
            JetPass::Delta { .. } => "jet_delta",
            JetPass::Loss(_) => "jet_loss",
            JetPass::InputGradient(_) => "jet_input_gradient",
        }
    }

    pub(super) fn bindings(&self) -> Vec<BindingSpec> {
        use Access::{Read, Write};
        use Element::{Real, Word};
        let of_rows = |last: Vec<BindingSpec>| {
            let mut all = vec![
                binding(1, "schedule", Read, Word),
                binding(2, "clock", Read, Word),
                binding(3, "input", Read, Real),
                binding(4, "output", Read, Real),
                binding(5, "target_rows", Read, Real),
            ];
            all.extend(last);
            all
        };
        match self.pass {
            JetPass::Input => vec![binding(1, "input", Read, Real), binding(2, "jets", Write, Real)],
            JetPass::Activation { bias, .. } => {
                let mut all = vec![binding(1, "z", Write, Real), binding(2, "a", Write, Real)];
                all.extend((bias != Bias::None).then(|| binding(3, "bias", Read, Real)));
                all
            }
            JetPass::Delta { .. } => vec![binding(1, "z", Read, Real), binding(2, "delta", Write, Real)],
            JetPass::Loss(_) => of_rows(vec![binding(6, "delta", Write, Real), binding(7, "row_loss", Write, Real)]),
            JetPass::InputGradient(_) => of_rows(vec![binding(6, "gradient", Write, Real)]),
        }
    }

    pub(super) fn lengths(&self, [batch, cols, inputs, data]: [usize; 4]) -> Vec<usize> {
        const ENTRY: usize = ScheduleEntry::WORDS;
        let components = self.components.len();
        let jets = components * batch * cols;
        let of_rows = |last: &[usize]| [&[ENTRY, 1, batch * inputs, jets, (batch * data).max(1)], last].concat();
        match self.pass {
            JetPass::Input => vec![batch * cols, jets],
            JetPass::Activation { bias, .. } => {
                let mut all = vec![jets, jets];
                all.extend((bias != Bias::None).then(|| bias.len(cols)));
                all
            }
            JetPass::Delta { .. } => vec![jets, jets],
            JetPass::Loss(_) => of_rows(&[jets, batch]),
            JetPass::InputGradient(_) => of_rows(&[batch * inputs]),
        }
    }

    /// Invocations of a dispatch: one for each element of a component, or for each row.
    fn invocations(&self, [batch, cols, ..]: [u32; 4]) -> u64 {
        match self.pass {
            JetPass::Loss(_) | JetPass::InputGradient(_) => u64::from(batch),
            JetPass::Input | JetPass::Activation { .. } | JetPass::Delta { .. } => u64::from(batch) * u64::from(cols),
        }
    }

    pub(super) fn workgroups(&self, dims: [u32; 4]) -> [u32; 3] {
        linear(self.invocations(dims).div_ceil(64))
    }

    /// Operations and bytes.
    pub(super) fn work(&self, dims: [u32; 4]) -> (f64, f64) {
        let nodes = self.function().map_or(0, |function| function.nodes().len()) as f64;
        let numbers: usize = self.lengths(dims.map(|d| d as usize)).iter().sum();
        (nodes * self.invocations(dims) as f64, 4.0 * numbers as f64)
    }

    /// The text behind the uniform and, where rows are asked for, the schedule.
    pub(super) fn wgsl(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    pub(super) fn uses_schedule(&self) -> bool {
        matches!(self.pass, JetPass::Loss(_) | JetPass::InputGradient(_))
    }

    fn write(&self, w: &mut String) -> std::fmt::Result {
        let components = self.components.len();
        for spec in self.bindings().iter().filter(|spec| spec.name != "schedule") {
            let access = if spec.access == Access::Write { "read_write" } else { "read" };
            let element = if spec.element == Element::Word { "u32" } else { "f32" };
            let BindingSpec { index, name, .. } = spec;
            writeln!(w, "@group(0) @binding({index}) var<storage, {access}> {name}: array<{element}>;")?;
        }
        write!(
            w,
            "\n@compute @workgroup_size(64)\nfn main(\n  @builtin(workgroup_id) workgroup: vec3<u32>,\n  \
             @builtin(num_workgroups) count: vec3<u32>,\n  @builtin(local_invocation_index) local: u32,\n) {{\n"
        )?;
        writeln!(w, "  let e = linear_workgroup(workgroup, count) * 64u + local;")?;
        match self.pass {
            JetPass::Loss(equation) => self.write_loss(w, equation),
            JetPass::InputGradient(equation) => self.write_input_gradient(w, equation),
            JetPass::Input => {
                writeln!(w, "  let size = u.dims.x * u.dims.y;\n  if e >= size {{\n    return;\n  }}")?;
                writeln!(w, "  jets[e] = input[e];\n  let i = e % u.dims.y;")?;
                for (c, derivative) in self.components.iter().enumerate().skip(1) {
                    match derivative[..] {
                        [i] => writeln!(w, "  jets[{c}u * size + e] = select(0.0, 1.0, i == {i}u);")?,
                        _ => writeln!(w, "  jets[{c}u * size + e] = 0.0;")?,
                    }
                }
                writeln!(w, "}}")
            }
            JetPass::Activation { bias, .. } => {
                writeln!(w, "  let size = u.dims.x * u.dims.y;\n  if e >= size {{\n    return;\n  }}")?;
                match bias {
                    Bias::PerUnit => writeln!(w, "  let z0 = z[e] + bias[e % u.dims.y];")?,
                    Bias::Shared => writeln!(w, "  let z0 = z[e] + bias[0];")?,
                    Bias::None => writeln!(w, "  let z0 = z[e];")?,
                }
                writeln!(w, "  z[e] = z0;")?;
                for c in 1..components {
                    writeln!(w, "  let z{c} = z[{c}u * size + e];")?;
                }
                self.write_body(w, &|i| format!("z{i}"), &|c| format!("a[{c}u * size + e]"), 0..components)
            }
            JetPass::Delta { .. } => {
                writeln!(w, "  let size = u.dims.x * u.dims.y;\n  if e >= size {{\n    return;\n  }}")?;
                for c in 0..components {
                    writeln!(w, "  let z{c} = z[{c}u * size + e];\n  let g{c} = delta[{c}u * size + e];")?;
                }
                let input = |i: usize| if i < components { format!("z{i}") } else { format!("g{}", i - components) };
                self.write_body(w, &input, &|c| format!("delta[{c}u * size + e]"), 0..components)
            }
        }
    }

    /// The function's body, its outputs stored where `to` says.
    fn write_body(
        &self,
        w: &mut String,
        input: &dyn Fn(usize) -> String,
        to: &dyn Fn(usize) -> String,
        outputs: std::ops::Range<usize>,
    ) -> std::fmt::Result {
        if let Some(function) = self.function() {
            let body = function.only(outputs).wgsl_body(input);
            for line in &body.lets {
                writeln!(w, "  {line}")?;
            }
            for (o, value) in body.outputs.iter().enumerate() {
                writeln!(w, "  {} = {value};", to(o))?;
            }
        }
        writeln!(w, "}}")
    }

    /// The numbers of row `e` that the equation uses, and its place in the batch.
    fn write_row(&self, w: &mut String, equation: Equation) -> std::fmt::Result {
        let text = equation.text();
        writeln!(w, "  let entry = schedule[min(clock[0], arrayLength(&schedule) - 1u)];")?;
        let function = equation.function();
        let used = |i: usize| function.uses(&function.inputs()[i]);
        let (inputs, data, outputs) = (text.inputs.len(), text.data.len(), text.outputs.len());
        for i in (0..inputs).filter(|&i| used(i)) {
            writeln!(w, "  let n{i} = input[e * {inputs}u + {i}u];")?;
        }
        for k in (0..data).filter(|&k| used(inputs + k)) {
            writeln!(w, "  let n{} = target_rows[e * {data}u + {k}u];", inputs + k)?;
        }
        for j in (0..self.components.len() * outputs).filter(|&j| used(inputs + data + j)) {
            let (c, o) = (j / outputs, j % outputs);
            writeln!(w, "  let n{} = output[({c}u * u.dims.x + e) * {outputs}u + {o}u];", inputs + data + j)?;
        }
        Ok(())
    }

    fn write_loss(&self, w: &mut String, equation: Equation) -> std::fmt::Result {
        let outputs = equation.text().outputs.len();
        let jet = self.components.len() * outputs;
        let place = |j: usize| format!("({}u * u.dims.x + e) * {outputs}u + {}u", j / outputs, j % outputs);
        writeln!(w, "  if e >= u.dims.x {{\n    return;\n  }}")?;
        self.write_row(w, equation)?;
        writeln!(w, "  if e >= entry.rows {{")?;
        for j in 0..jet {
            writeln!(w, "    delta[{}] = 0.0;", place(j))?;
        }
        writeln!(w, "    row_loss[e] = 0.0;\n    return;\n  }}")?;
        let to = |o: usize| match o.checked_sub(1) {
            None => "row_loss[e]".to_owned(),
            Some(j) => format!("delta[{}]", place(j)),
        };
        self.write_scaled(w, &to, 0..1 + jet, "")
    }

    fn write_input_gradient(&self, w: &mut String, equation: Equation) -> std::fmt::Result {
        let inputs = equation.text().inputs.len();
        let first = 1 + self.components.len() * equation.text().outputs.len();
        writeln!(w, "  if e >= u.dims.x {{\n    return;\n  }}")?;
        self.write_row(w, equation)?;
        writeln!(w, "  if e >= entry.rows {{\n    return;\n  }}")?;
        self.write_scaled(w, &|i| format!("gradient[e * {inputs}u + {i}u]"), first..first + inputs, "+")
    }

    /// Some outputs of the equation's function, times the loss's scale.
    fn write_scaled(
        &self,
        w: &mut String,
        to: &dyn Fn(usize) -> String,
        outputs: std::ops::Range<usize>,
        sign: &str,
    ) -> std::fmt::Result {
        if let Some(function) = self.function() {
            let body = function.only(outputs).wgsl_body(&|i| format!("n{i}"));
            for line in &body.lets {
                writeln!(w, "  {line}")?;
            }
            for (o, value) in body.outputs.iter().enumerate() {
                writeln!(w, "  {} {sign}= entry.loss_scale * ({value});", to(o))?;
            }
        }
        writeln!(w, "}}")
    }
}

/// Equations of every kind, for checks: of first, second and third order, of one and more inputs and outputs, with data
/// and without.
pub(crate) fn sample_equations() -> Vec<Loss> {
    let all = [
        Loss::equation("(u_tt + sin(u))^2", &["t"], &["u"], &[]),
        Loss::equation("(sqrt(u_x^2 + u_y^2) - 1)^2 + w * (u - d)^2", &["x", "y"], &["u"], &["d", "w"]),
        Loss::equation("(u_t + 6 * u * u_x + u_xxx)^2 + 0.1 * x * u", &["x", "t"], &["u"], &[]),
        Loss::equation("(p_x - q_y)^2 + (p_y + q_x - x*y)^2 + abs(p - c)", &["x", "y"], &["p", "q"], &["c"]),
        Loss::equation("(u - c)^2", &["x"], &["u"], &["c"]),
    ];
    all.into_iter().flatten().collect()
}

impl std::fmt::Display for Jet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let components = self.components.len();
        match self.pass {
            JetPass::Input => write!(f, "jets of the input × {components}"),
            JetPass::Activation { activation, bias } => {
                let bias = match bias {
                    Bias::PerUnit => "bias + ",
                    Bias::Shared => "shared bias + ",
                    Bias::None => "",
                };
                write!(f, "jets: {bias}{activation} × {components}")
            }
            JetPass::Delta { activation } => write!(f, "jets: × {activation}′ × {components}"),
            JetPass::Loss(equation) => write!(f, "loss {equation}"),
            JetPass::InputGradient(equation) => write!(f, "∂/∂input of {equation}"),
        }
    }
}
