//! Computation graphs: random expressions with their first and second derivatives, against central differences and in f32
//! against f64, and every operation over a wide range of its arguments.

use super::{Outcome, Tally};
use crate::compare::{Comparison, UNIT_ROUNDOFF, compare};
use crate::device::Device;
use crate::graph::{Arithmetic, Binary, Expr, Function, Gradients, Graph, Node, PRELUDE, Unary};
use crate::random::{Purpose, generator};
use crate::reference::{Bounded, Number};
use crate::{Error, Result};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write;

const INPUTS: [&str; 3] = ["x", "y", "z"];

/// Invocations of a workgroup, each of which has a point of its own. No group is filled in part.
const LANES: usize = 8;

/// Graphs of one shader: drivers compile several short texts faster than a long one.
const TOGETHER: usize = 8;

/// A random expression of x, y and z.
pub struct Sample {
    /// The expression, its three first derivatives, and its nine second ones by rows.
    pub function: Function,
    /// Where all of them are smooth and no operation comes near the end of its domain.
    pub point: [f32; 3],
    /// What it is made of: operations, and the rules by which they were differentiated once and twice.
    met: Vec<String>,
}

impl Sample {
    /// Draws expression number `number`.
    ///
    /// # Errors
    /// Where a derivative is no function.
    pub fn draw(seed: u64, number: u64) -> Result<Sample> {
        let mut rng = generator(seed, Purpose::Epoch(number));
        let point = INPUTS.map(|_| rng.random_range(-2.0f32..2.0));
        let graph = Graph::new();
        let value = grow(&graph, point, &mut rng);
        let inputs = graph.variables(INPUTS);
        let first = value.backward();
        let mut outputs = vec![value];
        outputs.extend(inputs.map(|x| first.of(x)));
        let mut met: Vec<String> = graph.function(&INPUTS, &[value])?.nodes().iter().filter_map(operation).collect();
        met.extend(rules(&graph, &first, "∂"));
        for row in 1..=INPUTS.len() {
            let second = outputs[row].backward();
            met.extend(rules(&graph, &second, "∂²"));
            outputs.extend(inputs.map(|x| second.of(x)));
        }
        Ok(Sample { function: graph.function(&INPUTS, &outputs)?, point, met })
    }
}

/// What [`Sample`]s are made of: every operation, and every rule for a derivative in its first and second use.
pub fn everything() -> Vec<String> {
    let unary = |op: &Unary| format!("{}(a)", op.name());
    let unary: Vec<String> = Unary::CALLED.iter().map(unary).chain(["-(a)".into(), "^n(a)".into()]).collect();
    let binary = |ops: &[Binary]| ops.iter().map(|op| format!("a {} b", op.name())).collect::<Vec<_>>();
    let arithmetic = binary(&Binary::ARITHMETIC);
    let select = || "select(c, a, b)".to_owned();
    let by = |names: &[String], operand| names.iter().map(|name| format!("{name} by {operand}")).collect::<Vec<_>>();
    let rules =
        [by(&unary, "a"), by(&arithmetic, "a"), by(&arithmetic, "b"), by(&[select()], "a"), by(&[select()], "b")];
    let twice = rules.concat().into_iter().flat_map(|rule| [format!("∂ {rule}"), format!("∂² {rule}")]).collect();
    [unary, arithmetic, binary(&Binary::COMPARISONS), vec![select()], twice].concat()
}

fn operation(node: &Node) -> Option<String> {
    match node {
        Node::Variable(_) | Node::Constant(_) => None,
        Node::Unary(Unary::Power(_), _) => Some("^n(a)".into()),
        Node::Unary(op, _) => Some(format!("{}(a)", op.name())),
        Node::Binary(op, ..) => Some(format!("a {} b", op.name())),
        Node::Select(..) => Some("select(c, a, b)".into()),
    }
}

fn rules(graph: &Graph, gradients: &Gradients<'_>, order: &str) -> Vec<String> {
    let rule = |edge: &crate::graph::Edge| {
        let node = graph.node(edge.node);
        // A selection's first operand is its condition.
        let operand = edge.operand - usize::from(matches!(node, Node::Select(..)));
        operation(&node).map(|name| format!("{order} {name} by {}", ["a", "b"][operand]))
    };
    gradients.edges().iter().filter_map(rule).collect()
}

/// Adds operations to the variables one by one, as long as the values at `point` keep away from kinks, from the ends of
/// domains and from where small errors become large ones.
fn grow<'g>(graph: &'g Graph, point: [f32; 3], rng: &mut ChaCha8Rng) -> Expr<'g> {
    let variables = graph.variables(INPUTS).into_iter().zip(point.map(f64::from));
    let mut pool: Vec<(Expr<'g>, f64)> = variables.collect();
    let size = pool.len() + rng.random_range(3..=8);
    while pool.len() < size {
        let mut pick = |recent: f64| match () {
            () if rng.random_bool(recent) => pool[pool.len() - 1],
            () if rng.random_bool(0.15) => {
                let x = f64::from(rng.random_range(-8..=8i8)) / 4.0;
                (graph.constant(x), x)
            }
            () => pool[rng.random_range(0..pool.len())],
        };
        let [a, b, c, d] = [pick(0.7), pick(0.2), pick(0.3), pick(0.3)];
        let unary = |op: Unary| (a.0.unary(op), f64::unary(op, a.1));
        let apart = |x: f64, y: f64| (x - y).abs() > 0.05;
        let (sound, added) = match rng.random_range(0..24) {
            0 => (true, unary(Unary::Negate)),
            1 => {
                let n = rng.random_range(-3..=5);
                (n >= 0 || apart(a.1, 0.0), unary(Unary::Power(n)))
            }
            place @ 2..13 => {
                let op = Unary::CALLED[place - 2];
                let sound = match op {
                    Unary::Log | Unary::Sqrt => a.1 > 0.05,
                    Unary::Abs | Unary::Relu => apart(a.1, 0.0),
                    _ => true,
                };
                (sound, unary(op))
            }
            place @ 13..20 => {
                let op = Binary::ARITHMETIC[place - 13];
                let sound = match op {
                    Binary::Divide => apart(b.1, 0.0),
                    Binary::Power => a.1 > 0.05,
                    Binary::Min | Binary::Max => apart(a.1, b.1),
                    _ => true,
                };
                (sound, (a.0.binary(op, b.0), f64::binary(op, a.1, b.1)))
            }
            place => {
                let op = Binary::COMPARISONS[place - 20];
                let chosen = crate::graph::Condition::of(op, c.0, d.0).select(a.0, b.0);
                (apart(c.1, d.1), (chosen, f64::select(f64::binary(op, c.1, d.1), a.1, b.1)))
            }
        };
        let constant = matches!(graph.node(added.0.id()), Node::Constant(_));
        if sound && !constant && added.1.abs() < 20.0 {
            pool.push(added);
        }
    }
    pool[pool.len() - 1].0
}

/// The step of central differences; a power of two, so that the arguments are exact.
const STEP: f64 = 1.0 / 1024.0;

/// A difference that is not known better than this, relative to 1 or to itself, tells nothing.
const RESOLUTION: f64 = 1e-5;

/// Compares derivatives with central differences in f64: those of output `r` by the three inputs, which are the outputs from
/// number `1 + 3 r` on. `None` where a kink lies within the step or the differences tell nothing.
///
/// Richardson's `R(h) = (4 D(h/2) - D(h)) / 3` errs by `C h⁴`, `R(h/2)` by a sixteenth of that: the latter is taken, and the
/// difference of both as its bound, which exceeds its error fifteen times and covers the higher orders. To that comes what
/// rounding does: values known to within `e` make it err by `6 e / h`, and their difference by a fifteenth of `9 e / h`. `e`
/// is the running bound of [`Bounded`], computed for f32, whose unit roundoff is 2²⁹ times that of f64.
pub fn differences(function: &Function, point: [f32; 3]) -> Result<Option<Vec<Comparison>>, String> {
    let x = point.map(f64::from);
    let rows = (function.outputs().len() - 1) / INPUTS.len();
    let all = |x: [f64; 3]| function.values(|i| x[i]);
    let at_point = all(x);
    let there = branches(function, &at_point);
    let rounding =
        function.compute(|i| Bounded::given(x[i])).into_iter().map(|y| y.error * f64::EPSILON / 2.0 / UNIT_ROUNDOFF);
    let rounding: Vec<f64> = rounding.collect();
    let output = |values: &[f64], o: usize| values[function.outputs()[o].index()];
    let mut comparisons = Vec::new();
    for k in 0..INPUTS.len() {
        let mut slopes = Vec::new();
        for h in [STEP, STEP / 2.0, STEP / 4.0] {
            let [above, below] = [h, -h].map(|h| {
                let mut moved = x;
                moved[k] += h;
                all(moved)
            });
            if branches(function, &above) != there || branches(function, &below) != there {
                return Ok(None);
            }
            slopes.push((0..rows).map(|r| (output(&above, r) - output(&below, r)) / (2.0 * h)).collect::<Vec<_>>());
        }
        for r in 0..rows {
            let derivative = 1 + INPUTS.len() * r + k;
            let richardson = |level: usize| (4.0 * slopes[level + 1][r] - slopes[level][r]) / 3.0;
            let bound = (richardson(0) - richardson(1)).abs() + 7.0 * rounding[r] / STEP + rounding[derivative];
            let found = output(&at_point, derivative);
            if bound.is_nan() || bound > RESOLUTION * (1.0 + richardson(1).abs()) {
                return Ok(None);
            }
            let what = format!("the derivative of output {r} by {}", INPUTS[k]);
            comparisons.push(compare(&what, &[found], &[richardson(1)], &[bound])?);
        }
    }
    Ok(Some(comparisons))
}

/// On which side of its kinks each operation is.
fn branches(function: &Function, values: &[f64]) -> Vec<Option<Ordering>> {
    let sides = function.nodes().iter().filter_map(|node| match *node {
        Node::Unary(Unary::Abs | Unary::Relu, x) => Some(values[x.index()].partial_cmp(&0.0)),
        Node::Binary(op, x, y) if op.is_comparison() || matches!(op, Binary::Min | Binary::Max) => {
            Some(values[x.index()].partial_cmp(&values[y.index()]))
        }
        _ => None,
    });
    sides.collect()
}

/// What comparing many random graphs with central differences came to.
pub struct Survey {
    /// The verdict.
    pub outcome: Outcome,
    /// How many graphs lay too near a kink, or too steep.
    pub skipped: usize,
    /// How often each of [`everything`] was met.
    pub met: BTreeMap<String, usize>,
}

/// The share of graphs that may be skipped.
const MOST_SKIPPED: f64 = 0.02;

/// Draws `count` random graphs and compares their first and second derivatives with central differences.
///
/// # Errors
/// Where a derivative is no function.
pub fn survey(seed: u64, count: usize) -> Result<Survey> {
    let checked = (0..count as u64).into_par_iter().map(|number| {
        let sample = Sample::draw(seed, number)?;
        let found = differences(&sample.function, sample.point);
        Ok((sample.met, found.map_err(|failure| named(failure, seed, number, &sample.function))))
    });
    let mut tally = Tally::new("reference", "central differences, random graphs");
    let (mut skipped, mut met) = (0, BTreeMap::new());
    for (found, result) in checked.collect::<Result<Vec<_>>>()? {
        found.into_iter().for_each(|what| *met.entry(what).or_insert(0) += 1);
        match result {
            Ok(None) => skipped += 1,
            Ok(Some(comparisons)) => tally.add(Ok(comparisons)),
            Err(failure) => tally.add(Err(failure)),
        }
    }
    if skipped as f64 > MOST_SKIPPED * count as f64 {
        tally.add(Err(format!("{skipped} of {count} graphs could not be compared")));
    }
    Ok(Survey { outcome: tally.finish(), skipped, met })
}

fn named(failure: String, seed: u64, number: u64, function: &Function) -> String {
    format!("graph {number} of seed {seed}: {failure}\n{}", function.wgsl("output_0").trim_end())
}

/// Functions of x, y and z as one shader that computes all of them at many points: `points[p]` of function `f` are the
/// numbers from `3 (f · points + p)` on, its output `o` there is number `p` of the outputs' column `o`.
pub fn wgsl(functions: &[&Function], points: usize, prelude: &str) -> String {
    let mut text = format!(
        "@group(0) @binding(0) var<storage, read> points: array<f32>;\n\
         @group(0) @binding(1) var<storage, read_write> results: array<f32>;\n\n{prelude}\n"
    );
    let mut calls = String::new();
    let mut column = 0;
    for (f, function) in functions.iter().enumerate() {
        let _ = writeln!(text, "fn graph{f}(p: u32) {{");
        for (i, name) in INPUTS.iter().enumerate() {
            let _ = writeln!(text, "  let {name} = points[3u * (p + {}u) + {i}u];", f * points);
        }
        let body = function.wgsl_body(&|i| INPUTS[i].to_owned());
        body.lets.iter().for_each(|line| text.extend(["  ", line, "\n"]));
        for output in &body.outputs {
            let _ = writeln!(text, "  results[p + {}u] = {output};", column * points);
            column += 1;
        }
        text.push_str("}\n\n");
        let _ = writeln!(calls, "  graph{f}(id.x);");
    }
    let _ = writeln!(
        text,
        "@compute @workgroup_size({LANES})\nfn main(@builtin(global_invocation_id) id: vec3<u32>) {{\n{calls}}}"
    );
    text
}

/// A function and the points at which it is computed; the first ones must have a result in f32.
pub struct Probe {
    /// Of x, y and z.
    pub function: Function,
    /// A multiple of 8 of them, as many for each probe of a call.
    pub points: Vec<[f32; 3]>,
    /// How many points from the first on must be compared.
    pub demanded: usize,
}

impl Probe {
    /// A random graph at its own point, and at others where it may have no result.
    ///
    /// # Errors
    /// Where a derivative is no function.
    pub fn draw(seed: u64, number: u64) -> Result<Probe> {
        let Sample { function, point, .. } = Sample::draw(seed, number)?;
        let mut rng = generator(seed.wrapping_add(1), Purpose::Epoch(number));
        let mut points = vec![point];
        points.resize_with(LANES, || INPUTS.map(|_| rng.random_range(-2.0f32..2.0)));
        Ok(Probe { function, points, demanded: 1 })
    }

    /// One for every operation, of arguments of every magnitude from 2⁻²⁰ to 2¹⁶: beyond that the neighbours of an f32 number
    /// are so far from it that its sine says nothing.
    ///
    /// # Errors
    /// Where an operation is no function.
    pub fn operations(seed: u64) -> Result<Vec<Probe>> {
        let graph = Graph::new();
        let [x, y, z] = graph.variables(INPUTS);
        let unary = Unary::CALLED.iter().copied().chain([Unary::Negate]).chain((-3..=5).map(Unary::Power));
        let mut outputs: Vec<Expr<'_>> = unary.map(|op| x.unary(op)).collect();
        outputs.extend(Binary::ARITHMETIC.map(|op| x.binary(op, y)));
        outputs.extend(Binary::COMPARISONS.map(|op| crate::graph::Condition::of(op, x, y).select(y, z)));
        let mut rng = generator(seed, Purpose::Epoch(0));
        let mut number = || {
            let magnitude = rng.random_range(-20.0f32..16.0).exp2();
            if rng.random_bool(0.5) { magnitude } else { -magnitude }
        };
        let mut points: Vec<[f32; 3]> = (0..64 * LANES).map(|_| INPUTS.map(|_| number())).collect();
        // The same number twice, for comparisons.
        points.iter_mut().step_by(7).for_each(|point| point[1] = point[0]);
        let probe = |output: Expr<'_>| {
            let function = graph.function(&INPUTS, &[output])?;
            Ok(Probe { function, points: points.clone(), demanded: 0 })
        };
        outputs.into_iter().map(probe).collect()
    }

    /// The outputs in f32, column by column, computed by the CPU.
    fn by_cpu(&self) -> Result<Vec<f32>> {
        let column = |i: usize| self.points.iter().map(|point| point[i]).collect::<Vec<f32>>();
        let inputs = [column(0), column(1), column(2)];
        let mut outputs = vec![f32::NAN; self.points.len() * self.function.outputs().len()];
        let mut columns: Vec<&mut [f32]> = outputs.chunks_mut(self.points.len()).collect();
        self.function.eval_columns(&inputs.each_ref().map(Vec::as_slice), &mut columns, &mut Vec::new())?;
        Ok(outputs)
    }

    /// Compares outputs, column by column, with f64 by the running bound of [`Bounded`], at every point where whatever is
    /// computed on the way lies within f32 by its bound. No point that is demanded may be left out.
    pub fn compare(&self, found: &[f32]) -> Result<Comparison, String> {
        let (mut actual, mut expected, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
        for (p, point) in self.points.iter().enumerate() {
            let all = self.function.values(|i| Bounded::given(f64::from(point[i])));
            let within = all.iter().all(|x| x.value.abs() + x.error <= f64::from(f32::MAX));
            if within || p < self.demanded {
                for (o, id) in self.function.outputs().iter().enumerate() {
                    let Bounded { value, error } = all[id.index()];
                    actual.push(found[o * self.points.len() + p]);
                    expected.push(value);
                    bounds.push(error);
                }
            }
        }
        compare("f32", &actual, &expected, &bounds)
    }
}

/// Computes every probe on `device`, with `prelude` for what their texts call, and compares.
///
/// # Errors
/// Where the device fails as such.
pub fn check(device: &Device, probes: &[Probe], prelude: &str) -> Result<Vec<Result<Comparison, String>>> {
    let mut results = Vec::with_capacity(probes.len());
    for probes in probes.chunks(TOGETHER) {
        let Device::Gpu(gpu) = device else {
            for probe in probes {
                results.push(probe.compare(&probe.by_cpu()?));
            }
            continue;
        };
        let points = probes[0].points.len();
        if points % LANES != 0 || probes.iter().any(|probe| probe.points.len() != points) {
            return Err(Error::shape("points of each probe", format!("{points}, a multiple of {LANES}"), "others"));
        }
        let functions: Vec<&Function> = probes.iter().map(|probe| &probe.function).collect();
        let inputs: Vec<f32> = probes.iter().flat_map(|probe| probe.points.as_flattened()).copied().collect();
        let outputs = points * functions.iter().map(|function| function.outputs().len()).sum::<usize>();
        let found = gpu.run_once(&wgsl(&functions, points, prelude), &inputs, outputs, (points / LANES) as u32)?;
        let mut rest = &found[..];
        for probe in probes {
            let (own, others) = rest.split_at(points * probe.function.outputs().len());
            results.push(probe.compare(own));
            rest = others;
        }
    }
    Ok(results)
}

/// Checks graphs on `device` and their derivatives, with numbers drawn from `seed`; `take` gets each outcome.
///
/// # Errors
/// Where the device fails as such.
pub fn run(device: &Device, seed: u64, take: &mut dyn FnMut(Outcome)) -> Result<()> {
    take(survey(seed, 500)?.outcome);
    take(random(device, seed, 48)?);
    let mut operations = Tally::new("graph", "every operation, over its arguments");
    let probes = Probe::operations(seed)?;
    for (result, probe) in check(device, &probes, PRELUDE)?.into_iter().zip(&probes) {
        let named = |failure| format!("{failure}\n{}", probe.function.wgsl("operation"));
        operations.add(result.map(|comparison| vec![comparison]).map_err(named));
    }
    take(operations.finish());
    Ok(())
}

/// Computes `count` random graphs with their derivatives on `device`.
///
/// # Errors
/// Where the device fails as such.
pub fn random(device: &Device, seed: u64, count: usize) -> Result<Outcome> {
    let mut tally = Tally::new("graph", "random graphs, first and second derivatives");
    let probes = (0..count as u64).map(|number| Probe::draw(seed, number)).collect::<Result<Vec<_>>>()?;
    for (number, (result, probe)) in check(device, &probes, PRELUDE)?.into_iter().zip(&probes).enumerate() {
        let named = |failure| named(failure, seed, number as u64, &probe.function);
        tally.add(result.map(|comparison| vec![comparison]).map_err(named));
    }
    Ok(tally.finish())
}
