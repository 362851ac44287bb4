//! Graphs as WGSL: one assignment per shared node, everything else written into the place where it is used.

use super::op::{Binary, Node, Unary};
use super::program::{Function, Id};
use std::fmt::Write;

/// How deep an expression is nested before a part of it is given a name.
const DEEPEST: usize = 6;

/// The assignments and the results of a function's body.
pub(crate) struct Body {
    /// `let t0 = …;` lines.
    pub(crate) lets: Vec<String>,
    /// The outputs as expressions.
    pub(crate) outputs: Vec<String>,
}

impl Function {
    /// The WGSL function `fn name(inputs) -> f32` of the first output. It calls functions of `shaders/math.wgsl` and
    /// `shaders/graph.wgsl`, and every argument gives a result: what it is called with cannot stop it.
    ///
    /// The inputs must bear names that WGSL allows; names like `t0` are taken by the text.
    pub fn wgsl(&self, name: &str) -> String {
        let inputs: Vec<_> = self.inputs.iter().map(|input| format!("{input}: f32")).collect();
        self.wgsl_as(&format!("{name}({})", inputs.join(", ")))
    }

    /// The function under a name and with parameters that are the inputs and may be more: `name(x: f32, row: Row)`.
    pub(crate) fn wgsl_as(&self, signature: &str) -> String {
        let body = self.wgsl_body(&|i| self.inputs[i].clone());
        let mut text = format!("fn {signature} -> f32 {{\n");
        body.lets.iter().for_each(|line| text.extend(["  ", line, "\n"]));
        let _ = writeln!(text, "  return {};\n}}", body.outputs.first().map_or("0.0", String::as_str));
        text
    }

    /// The body that computes all outputs from inputs that are written as `input` says.
    pub(crate) fn wgsl_body(&self, input: &dyn Fn(usize) -> String) -> Body {
        let mut uses = vec![0; self.nodes.len()];
        for node in &self.nodes {
            for operand in node.operands() {
                // A square is written as a product of what it is a square of.
                uses[operand.index()] += if matches!(node, Node::Unary(Unary::Power(_), _)) { 2 } else { 1 };
            }
        }
        self.outputs.iter().for_each(|output| uses[output.index()] += 1);
        let mut lets = Vec::new();
        let mut written: Vec<Written> = Vec::with_capacity(self.nodes.len());
        let mut names = 0;
        for (place, node) in self.nodes.iter().enumerate() {
            let mut text = write_node(node, &written, input, &mut |value| {
                let name = format!("t{names}");
                names += 1;
                lets.push(format!("let {name} = {value};"));
                name
            });
            let leaf = matches!(node, Node::Variable(_) | Node::Constant(_));
            // A condition stays where it is used: its selection reads like the text that it came from.
            if !leaf && (uses[place] > 1 || text.depth > DEEPEST) {
                let name = format!("t{names}");
                names += 1;
                lets.push(format!("let {name} = {};", text.text));
                text = Written::leaf(name);
            }
            written.push(text);
        }
        Body { lets, outputs: self.outputs.iter().map(|output| written[output.index()].text.clone()).collect() }
    }
}

/// How tightly the outermost operation of a text binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Comparison,
    Sum,
    Product,
    Negation,
    Call,
}

struct Written {
    text: String,
    binding: Binding,
    depth: usize,
}

impl Written {
    fn leaf(text: String) -> Self {
        Written { text, binding: Binding::Call, depth: 0 }
    }

    /// The text, in parentheses where it binds less tightly than `least`.
    fn within(&self, least: Binding) -> String {
        if self.binding < least { format!("({})", self.text) } else { self.text.clone() }
    }
}

/// An f32 number in WGSL.
pub(crate) fn literal(x: f64) -> String {
    let x = x as f32;
    if x.abs() == f32::MAX {
        // Its shortest decimal form is a little beyond f32, which browsers refuse.
        return format!("{}0x1.fffffep+127", if x < 0.0 { "-" } else { "" });
    }
    let text = format!("{x:?}");
    if text.contains(['.', 'e']) { text } else { format!("{text}.0") }
}

fn write_node(
    node: &Node,
    written: &[Written],
    input: &dyn Fn(usize) -> String,
    name: &mut dyn FnMut(String) -> String,
) -> Written {
    let at = |id: Id| &written[id.index()];
    let depth = node.operands().map(|id| at(id).depth).max().map_or(0, |depth| depth + 1);
    let (text, binding) = match *node {
        Node::Variable(i) => (input(i), Binding::Call),
        Node::Constant(bits) => {
            let x = f64::from_bits(bits);
            (literal(x), if x.is_sign_negative() { Binding::Negation } else { Binding::Call })
        }
        Node::Unary(Unary::Negate, x) => (format!("-{}", at(x).within(Binding::Call)), Binding::Negation),
        Node::Unary(Unary::Power(n), x) => power(at(x).within(Binding::Call), n, name),
        Node::Unary(Unary::Relu, x) => {
            let x = &at(x).text;
            (format!("rectified({x})"), Binding::Call)
        }
        Node::Unary(op, x) => {
            let function = match op {
                Unary::Sin => "sine".to_owned(),
                Unary::Cos => "cosine".to_owned(),
                Unary::Tanh => "hyperbolic_tangent".to_owned(),
                op => op.name(),
            };
            (format!("{function}({})", at(x).text), Binding::Call)
        }
        Node::Binary(op, x, y) => {
            let (x, y) = (at(x), at(y));
            let infix =
                |own: Binding, right: Binding| (format!("{} {} {}", x.within(own), op.name(), y.within(right)), own);
            let call = |function: &str| (format!("{function}({}, {})", x.text, y.text), Binding::Call);
            match op {
                Binary::Add => infix(Binding::Sum, Binding::Product),
                Binary::Subtract => infix(Binding::Sum, Binding::Product),
                Binary::Multiply | Binary::Divide => infix(Binding::Product, Binding::Negation),
                Binary::Power => call("power"),
                Binary::Min => call("smaller"),
                Binary::Max => call("larger"),
                _ => (
                    format!("{} {} {}", x.within(Binding::Sum), op.name(), y.within(Binding::Sum)),
                    Binding::Comparison,
                ),
            }
        }
        Node::Select(condition, a, b) => {
            (format!("select({}, {}, {})", at(b).text, at(a).text, at(condition).text), Binding::Call)
        }
    };
    Written { text, binding, depth }
}

/// `xⁿ` by repeated squaring, in the order in which the CPU multiplies.
fn power(x: String, n: i32, name: &mut dyn FnMut(String) -> String) -> (String, Binding) {
    let mut factors: Vec<String> = Vec::new();
    let (mut square, mut rest) = (x, n.unsigned_abs());
    while rest > 0 {
        if rest & 1 == 1 {
            factors.push(square.clone());
        }
        rest >>= 1;
        if rest == 1 && factors.is_empty() && n > 0 {
            return (format!("{square} * {square}"), Binding::Product);
        }
        if rest > 0 {
            square = name(format!("{square} * {square}"));
        }
    }
    let product = factors.join(" * ");
    match (n < 0, factors.len()) {
        (false, 1) => (product, Binding::Call),
        (false, _) => (product, Binding::Product),
        (true, 1) => (format!("1.0 / {product}"), Binding::Product),
        (true, _) => (format!("1.0 / ({product})"), Binding::Product),
    }
}
