//! Computation graphs: expressions that are differentiated, computed on the CPU and written as WGSL.
//!
//! An [`Expr`] is a node of a [`Graph`]; operators and functions on it add nodes. [`Expr::backward`] adds the nodes of all
//! derivatives, which are expressions again. [`Graph::function`] cuts out what some outputs need: a [`Function`] computes
//! it in `f32` or `f64`, or writes it as WGSL.
//!
//! ```
//! use wgrad::graph::Graph;
//! let graph = Graph::new();
//! let price = graph.parse("apples = count * unit; apples * tax", &["count", "unit", "tax"])?;
//! let gradient = price.backward();
//! let unit = gradient.of(graph.variable("unit"));
//! let f = graph.function(&["count", "unit", "tax"], &[price, unit])?;
//! approx::assert_relative_eq!(f.eval(&[2.0, 100.0, 1.1])[..], [220.0, 2.2], max_relative = 1e-15);
//! # Ok::<(), wgrad::Error>(())
//! ```
//!
//! # What is simplified
//! Equal nodes are one node. Operations on constants are computed in `f64` where the result is finite. Identities are
//! applied only where they hold for every floating-point number, zeros of both signs, infinities and NaN included:
//! `x · 1`, `x / 1`, `x - 0`, `x + (-0)`, `x · (-1) = -x`, `-(-x)`, `a - (-b)`, `a + (-b)`, products and quotients of negated factors,
//! `x¹`, `|-x|`, `||x||`, `min(x, x)`, `select(c, a, a)`. `x + 0`, `x · 0`, `x - x` and `x / x` are not: they differ for
//! `-0`, infinity or NaN.

mod backward;
mod network;
mod op;
mod parse;
mod program;
mod text;
mod trace;
mod wgsl;

pub use backward::{Edge, Gradients};
pub(crate) use op::Arithmetic;
pub use op::{Binary, Node, Unary};
pub use parse::identifiers;
pub(crate) use parse::one_line;
pub use program::{Function, Id};
pub use trace::{Trace, TracedEdge, TracedNode};

use crate::{Error, Result};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// What the WGSL of a [`Function`] calls: the texts of `shaders/math.wgsl` and `shaders/graph.wgsl`.
pub const PRELUDE: &str = concat!(include_str!("../../shaders/math.wgsl"), include_str!("../../shaders/graph.wgsl"));

/// The nodes of expressions. It only grows.
#[derive(Default)]
pub struct Graph {
    state: RefCell<State>,
    /// Whether every operation stays a node of its own, constants too.
    verbatim: bool,
}

#[derive(Default)]
struct State {
    nodes: Vec<Node>,
    known: HashMap<Node, Id>,
    variables: Vec<String>,
    labels: HashMap<Id, String>,
}

/// A number in a graph: a variable, a constant, or what an operation makes of others.
#[derive(Clone, Copy)]
pub struct Expr<'g> {
    graph: &'g Graph,
    id: Id,
}

/// A condition in a graph, for [`Condition::select`].
#[derive(Clone, Copy)]
pub struct Condition<'g>(Expr<'g>);

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Self {
        Graph::default()
    }

    /// A graph that shares, folds and simplifies nothing, for showing an expression as it was written.
    pub fn verbatim() -> Self {
        Graph { verbatim: true, ..Graph::default() }
    }

    /// The variable of this name; the same one whenever it is asked for.
    pub fn variable(&self, name: &str) -> Expr<'_> {
        let place = {
            let mut state = self.state.borrow_mut();
            state.variables.iter().position(|known| known == name).unwrap_or_else(|| {
                state.variables.push(name.to_owned());
                state.variables.len() - 1
            })
        };
        self.shared(Node::Variable(place))
    }

    /// Several variables at once.
    pub fn variables<const N: usize>(&self, names: [&str; N]) -> [Expr<'_>; N] {
        names.map(|name| self.variable(name))
    }

    /// A constant.
    pub fn constant(&self, x: f64) -> Expr<'_> {
        self.add(Node::Constant(x.to_bits()))
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.state.borrow().nodes.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The node of an expression.
    pub fn node(&self, id: Id) -> Node {
        self.state.borrow().nodes[id.index()]
    }

    /// The name that a node bears: a variable's, or that of a definition in text.
    pub fn label(&self, id: Id) -> Option<String> {
        let state = self.state.borrow();
        match state.nodes[id.index()] {
            Node::Variable(place) => Some(state.variables[place].clone()),
            _ => state.labels.get(&id).cloned(),
        }
    }

    /// The expressions of `function` with `inputs` in place of its variables.
    ///
    /// # Errors
    /// [`Error::Shape`] where their number is wrong.
    pub fn call<'g>(&'g self, function: &Function, inputs: &[Expr<'g>]) -> Result<Vec<Expr<'g>>> {
        if inputs.len() != function.inputs.len() {
            return Err(Error::shape("inputs of a function", function.inputs.len(), inputs.len()));
        }
        let mut images: Vec<Id> = Vec::with_capacity(function.nodes.len());
        for &node in &function.nodes {
            images.push(match node {
                Node::Variable(place) => inputs[place].id,
                node => self.make(node.map(|id| images[id.index()])).id,
            });
        }
        Ok(function.outputs.iter().map(|id| self.expr(images[id.index()])).collect())
    }

    /// Cuts out what `outputs` need, as a function of `inputs`.
    ///
    /// # Errors
    /// [`Error::Config`] where an output needs a variable that is not among `inputs`, a constant is beyond `f32`, or an
    /// operation on constants alone gives no finite number: a division by 0, say.
    pub fn function(&self, inputs: &[&str], outputs: &[Expr<'_>]) -> Result<Function> {
        let needed = self.needed(outputs);
        let state = self.state.borrow();
        let mut places = vec![Id::at(0); state.nodes.len()];
        let mut nodes = Vec::new();
        for (place, &node) in state.nodes.iter().enumerate().filter(|(place, _)| needed[*place]) {
            let node = match node {
                Node::Variable(variable) => {
                    let name = &state.variables[variable];
                    let input = inputs.iter().position(|input| input == name).ok_or_else(|| {
                        Error::Config(format!(
                            "an expression needs {name:?}, which is not among its inputs {}",
                            inputs.join(", ")
                        ))
                    })?;
                    Node::Variable(input)
                }
                Node::Constant(bits) if !(f64::from_bits(bits) as f32).is_finite() => {
                    return Err(Error::Config(format!(
                        "the constant {:e} is not a finite 32-bit number; expected one between -3.4e38 and 3.4e38",
                        f64::from_bits(bits)
                    )));
                }
                node => node.map(|id| places[id.index()]),
            };
            let constant = |id: Id| matches!(nodes[id.index()], Node::Constant(_));
            if node.operands().next().is_some() && node.operands().all(constant) && !self.verbatim {
                return Err(Error::Config(format!("{} gives no finite number", self.describe(node, &nodes))));
            }
            places[place] = Id::at(nodes.len());
            nodes.push(node);
        }
        let inputs = inputs.iter().map(|&name| name.to_owned()).collect();
        Ok(Function { inputs, nodes, outputs: outputs.iter().map(|output| places[output.id.index()]).collect() })
    }

    /// Which nodes `outputs` are computed from, themselves included.
    fn needed(&self, outputs: &[Expr<'_>]) -> Vec<bool> {
        let state = self.state.borrow();
        let mut needed = vec![false; state.nodes.len()];
        outputs.iter().for_each(|output| needed[output.id.index()] = true);
        for place in (0..needed.len()).rev() {
            if needed[place] {
                state.nodes[place].operands().for_each(|id| needed[id.index()] = true);
            }
        }
        needed
    }

    /// An operation on constants, for messages: `log(0)`.
    fn describe(&self, node: Node, nodes: &[Node]) -> String {
        let number = |id: Id| match nodes[id.index()] {
            Node::Constant(bits) => f64::from_bits(bits).to_string(),
            _ => "…".to_owned(),
        };
        match node {
            Node::Unary(op @ (Unary::Negate | Unary::Power(_)), x) => format!("{}{}", number(x), op.name()),
            Node::Unary(op, x) => format!("{}({})", op.name(), number(x)),
            Node::Binary(op, x, y) => format!("{} {} {}", number(x), op.name(), number(y)),
            _ => "an expression of constants".to_owned(),
        }
    }

    fn expr(&self, id: Id) -> Expr<'_> {
        Expr { graph: self, id }
    }

    /// The node as it is, shared with equal ones.
    fn shared(&self, node: Node) -> Expr<'_> {
        let mut state = self.state.borrow_mut();
        let State { nodes, known, .. } = &mut *state;
        let id = *known.entry(node).or_insert_with(|| {
            nodes.push(node);
            Id::at(nodes.len() - 1)
        });
        self.expr(id)
    }

    fn add(&self, node: Node) -> Expr<'_> {
        if !self.verbatim {
            return self.shared(node);
        }
        let mut state = self.state.borrow_mut();
        state.nodes.push(node);
        self.expr(Id::at(state.nodes.len() - 1))
    }

    fn number(&self, id: Id) -> Option<f64> {
        match self.node(id) {
            Node::Constant(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    /// Whether `id` is this number, the sign of 0 included.
    fn is(&self, id: Id, x: f64) -> bool {
        self.node(id) == Node::Constant(x.to_bits())
    }

    fn negated(&self, id: Id) -> Option<Id> {
        match self.node(id) {
            Node::Unary(Unary::Negate, x) => Some(x),
            _ => None,
        }
    }

    /// The node in its simplest form.
    fn make(&self, node: Node) -> Expr<'_> {
        if self.verbatim {
            return self.add(node);
        }
        match node {
            Node::Variable(_) | Node::Constant(_) => self.shared(node),
            Node::Unary(op, x) => self.unary(op, x),
            Node::Binary(op, x, y) => self.binary(op, x, y),
            Node::Select(condition, a, b) => self.choose(condition, a, b),
        }
    }

    fn unary(&self, op: Unary, x: Id) -> Expr<'_> {
        if let Some(folded) = self.number(x).map(|x| op.value(x)).filter(|folded| folded.is_finite()) {
            return self.constant(folded);
        }
        match (op, self.node(x)) {
            (Unary::Negate, Node::Unary(Unary::Negate, x)) => self.expr(x),
            (Unary::Power(0), _) => self.constant(1.0),
            (Unary::Power(1), _) => self.expr(x),
            (Unary::Abs, Node::Unary(Unary::Negate, x)) => self.unary(Unary::Abs, x),
            (Unary::Abs, Node::Unary(Unary::Abs, _)) => self.expr(x),
            (Unary::Power(n), Node::Unary(Unary::Negate, x)) if n % 2 == 0 => self.unary(Unary::Power(n), x),
            _ => self.shared(Node::Unary(op, x)),
        }
    }

    fn binary(&self, op: Binary, x: Id, y: Id) -> Expr<'_> {
        use Binary::{Add, Divide, Max, Min, Multiply, Power, Subtract};
        if let (Some(x), Some(y)) = (self.number(x), self.number(y))
            && !op.is_comparison()
            && op.value(x, y).is_finite()
        {
            return self.constant(op.value(x, y));
        }
        // One order for what may be exchanged, so that equal nodes are found.
        let (x, y) = if op.is_commutative() && y < x { (y, x) } else { (x, y) };
        match op {
            Add if self.is(x, -0.0) => self.expr(y),
            Add | Subtract if self.is(y, if op == Add { -0.0 } else { 0.0 }) => self.expr(x),
            Multiply if self.is(x, 1.0) => self.expr(y),
            Multiply | Divide if self.is(y, 1.0) => self.expr(x),
            Multiply if self.is(x, -1.0) => self.unary(Unary::Negate, y),
            Multiply | Divide if self.is(y, -1.0) => self.unary(Unary::Negate, x),
            Min | Max if x == y => self.expr(x),
            Power if self.is(y, 1.0) => self.expr(x),
            Power => match self.number(y) {
                Some(n) if n.fract() == 0.0 && n.abs() <= f64::from(MOST_MULTIPLIED) => {
                    self.unary(Unary::Power(n as i32), x)
                }
                _ => self.shared(Node::Binary(op, x, y)),
            },
            Add => match (self.negated(x), self.negated(y)) {
                (_, Some(y)) => self.binary(Subtract, x, y),
                (Some(x), None) => self.binary(Subtract, y, x),
                _ => self.shared(Node::Binary(op, x, y)),
            },
            Subtract => match self.negated(y) {
                Some(y) => self.binary(Add, x, y),
                None => self.shared(Node::Binary(op, x, y)),
            },
            Multiply | Divide => match (self.negated(x), self.negated(y)) {
                (Some(x), Some(y)) => self.binary(op, x, y),
                (Some(x), None) => self.unary(Unary::Negate, self.binary(op, x, y).id),
                (None, Some(y)) => self.unary(Unary::Negate, self.binary(op, x, y).id),
                (None, None) => self.shared(Node::Binary(op, x, y)),
            },
            _ => self.shared(Node::Binary(op, x, y)),
        }
    }

    fn choose(&self, condition: Id, a: Id, b: Id) -> Expr<'_> {
        if a == b {
            return self.expr(a);
        }
        if let Node::Binary(op, x, y) = self.node(condition)
            && let (Some(x), Some(y)) = (self.number(x), self.number(y))
        {
            return self.expr(if op.value(x, y) == 1.0 { a } else { b });
        }
        self.shared(Node::Select(condition, a, b))
    }
}

/// The largest exponent that is multiplied out.
const MOST_MULTIPLIED: i32 = 64;

impl<'g> Expr<'g> {
    /// The node's place in its graph.
    pub fn id(self) -> Id {
        self.id
    }

    /// The graph.
    pub fn graph(self) -> &'g Graph {
        self.graph
    }

    /// `op(self)`
    pub(crate) fn unary(self, op: Unary) -> Self {
        self.graph.make(Node::Unary(op, self.id))
    }

    /// `op(self, other)`
    ///
    /// # Panics
    /// Where `other` belongs to another graph.
    pub(crate) fn binary(self, op: Binary, other: Self) -> Self {
        assert!(std::ptr::eq(self.graph, other.graph), "the operands of {} belong to different graphs", op.name());
        self.graph.make(Node::Binary(op, self.id, other.id))
    }

    /// `xⁿ`
    pub fn powi(self, n: i32) -> Self {
        self.unary(Unary::Power(n))
    }

    /// `x^y`
    pub fn pow(self, y: impl Operand<'g>) -> Self {
        self.binary(Binary::Power, y.on(self.graph))
    }

    /// The smaller of two.
    pub fn min(self, other: impl Operand<'g>) -> Self {
        self.binary(Binary::Min, other.on(self.graph))
    }

    /// The larger of two.
    pub fn max(self, other: impl Operand<'g>) -> Self {
        self.binary(Binary::Max, other.on(self.graph))
    }

    /// `self < other`
    pub fn less(self, other: impl Operand<'g>) -> Condition<'g> {
        Condition(self.binary(Binary::Less, other.on(self.graph)))
    }

    /// `self ≤ other`
    pub fn less_equal(self, other: impl Operand<'g>) -> Condition<'g> {
        Condition(self.binary(Binary::LessEqual, other.on(self.graph)))
    }

    /// `self = other`
    pub fn equal(self, other: impl Operand<'g>) -> Condition<'g> {
        Condition(self.binary(Binary::Equal, other.on(self.graph)))
    }

    /// `self ≠ other`
    pub fn not_equal(self, other: impl Operand<'g>) -> Condition<'g> {
        Condition(self.binary(Binary::NotEqual, other.on(self.graph)))
    }
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $op:ident),* $(,)?) => {
        impl Expr<'_> {
            $($(#[$doc])* pub fn $name(self) -> Self {
                self.unary(Unary::$op)
            })*
        }
    };
}

functions! {
    /// `exp x`
    exp = Exp,
    /// The natural logarithm.
    log = Log,
    /// `√x`
    sqrt = Sqrt,
    /// `|x|`; the derivative at 0 is 0.
    abs = Abs,
    /// `sin x`
    sin = Sin,
    /// `cos x`
    cos = Cos,
    /// `tanh x`
    tanh = Tanh,
    /// `1 / (1 + exp(-x))`
    sigmoid = Sigmoid,
    /// `log(1 + exp x)`
    softplus = Softplus,
    /// `max(x, 0)`; the derivative at 0 is 0.
    relu = Relu,
    /// The error function.
    erf = Erf,
}

impl<'g> Condition<'g> {
    /// What the comparison `op` of two numbers says.
    pub(crate) fn of(op: Binary, x: Expr<'g>, y: Expr<'g>) -> Self {
        Condition(x.binary(op, y))
    }

    /// `a` where the condition holds, else `b`.
    pub fn select(self, a: impl Operand<'g>, b: impl Operand<'g>) -> Expr<'g> {
        let graph = self.0.graph;
        let (a, b) = (a.on(graph), b.on(graph));
        assert!(
            std::ptr::eq(graph, a.graph) && std::ptr::eq(graph, b.graph),
            "the operands of select belong to different graphs"
        );
        graph.make(Node::Select(self.0.id, a.id, b.id))
    }
}

/// What can stand beside an expression: another one, or a number.
pub trait Operand<'g> {
    /// As an expression of `graph`.
    fn on(self, graph: &'g Graph) -> Expr<'g>;
}

impl<'g> Operand<'g> for Expr<'g> {
    fn on(self, _graph: &'g Graph) -> Expr<'g> {
        self
    }
}

impl<'g> Operand<'g> for f64 {
    fn on(self, graph: &'g Graph) -> Expr<'g> {
        graph.constant(self)
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident),*) => {$(
        impl<'g, R: Operand<'g>> $trait<R> for Expr<'g> {
            type Output = Expr<'g>;

            fn $method(self, other: R) -> Expr<'g> {
                self.binary(Binary::$op, other.on(self.graph))
            }
        }

        impl<'g> $trait<Expr<'g>> for f64 {
            type Output = Expr<'g>;

            fn $method(self, other: Expr<'g>) -> Expr<'g> {
                self.on(other.graph).binary(Binary::$op, other)
            }
        }
    )*};
}

operators!(Add add Add, Sub sub Subtract, Mul mul Multiply, Div div Divide);

impl Neg for Expr<'_> {
    type Output = Self;

    fn neg(self) -> Self {
        self.unary(Unary::Negate)
    }
}

#[cfg(test)]
mod tests;
