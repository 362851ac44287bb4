//! Reverse mode: each node multiplies what arrives by its local derivatives and hands it to its operands; where several
//! paths meet, they add up.

use super::op::{Binary, Node, Unary};
use super::program::Id;
use super::{Expr, Graph};
use std::f64::consts::FRAC_2_SQRT_PI;

/// What arrives at an operand from one of the nodes that it is used by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The node that uses the operand.
    pub node: Id,
    /// Which of its operands, counted from 0.
    pub operand: usize,
    /// The expression of what arrives.
    pub gradient: Id,
}

/// The derivatives of an expression with respect to every node that it is computed from, as expressions.
pub struct Gradients<'g> {
    graph: &'g Graph,
    arriving: Vec<Option<Id>>,
    edges: Vec<Edge>,
}

impl<'g> Gradients<'g> {
    /// The derivative with respect to `x`: the constant 0 where the expression does not depend on it.
    pub fn of(&self, x: Expr<'g>) -> Expr<'g> {
        match self.arriving.get(x.id.index()).copied().flatten() {
            Some(id) => self.graph.expr(id),
            None => self.graph.constant(0.0),
        }
    }

    /// Whether the expression is computed from `x`.
    pub fn depends_on(&self, x: Expr<'g>) -> bool {
        self.arriving.get(x.id.index()).is_some_and(Option::is_some)
    }

    /// What each node hands to its operands, from the result on.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }
}

impl<'g> Expr<'g> {
    /// The derivatives of this expression with respect to every node, as new nodes of the same graph.
    ///
    /// With `g` for what arrives at a node, its operands receive:
    ///
    /// | node | receives |
    /// |---|---|
    /// | `x + y`, `x - y`, `-x` | `g`; `-g` for what is subtracted or negated |
    /// | `x y` | `g y` and `g x` |
    /// | `x / y` | `g / y` and `-(g (x / y)) / y` |
    /// | `xⁿ` | `g (n xⁿ⁻¹)` |
    /// | `x^y` | `g (y x^(y-1))`, 0 where `y = 0`; `g (x^y log x)`, 0 where `x = 0` and `y ≥ 0` |
    /// | `exp x`, `log x`, `√x` | `g exp x`, `g / x`, `g / (2 √x)` |
    /// | `sin x`, `cos x`, `tanh x` | `g cos x`, `-(g sin x)`, `g (1 - tanh² x)` |
    /// | sigmoid σ, softplus, erf | `g (σ (1 - σ))`, `g σ(x)`, `g 2/√π exp(-x²)` |
    /// | `\|x\|`, relu | `g`, `-g`, or 0 at 0; `g` where `x > 0`, else 0 |
    /// | min, max | `g` for the one that it is; `g / 2` each where both are equal |
    /// | `select(c, a, b)` | `g` for the one that is taken, 0 for the other |
    ///
    /// The values at kinks are PyTorch's. What a selection masks with 0 stays 0, also where the derivative behind it is
    /// infinite: `select(x > 0, log(x), 0)` has the derivative 0 at 0, and no NaN.
    pub fn backward(self) -> Gradients<'g> {
        let graph = self.graph;
        let mut pass = Pass { graph, arriving: vec![None; self.id.index() + 1], edges: Vec::new() };
        pass.arriving[self.id.index()] = Some(graph.constant(1.0).id);
        for place in (0..=self.id.index()).rev() {
            if let Some(g) = pass.arriving[place] {
                pass.hand_on(Id::at(place), graph.expr(g));
            }
        }
        Gradients { graph, arriving: pass.arriving, edges: pass.edges }
    }
}

struct Pass<'g> {
    graph: &'g Graph,
    arriving: Vec<Option<Id>>,
    edges: Vec<Edge>,
}

impl<'g> Pass<'g> {
    /// Adds what operand number `operand` of `node` receives to what arrived there before.
    fn arrive(&mut self, node: Id, operand: usize, gradient: Expr<'g>) {
        let Some(at) = self.graph.node(node).operands().nth(operand) else { return };
        self.edges.push(Edge { node, operand, gradient: gradient.id });
        let arrived = &mut self.arriving[at.index()];
        *arrived = Some(match *arrived {
            Some(before) => (self.graph.expr(before) + gradient).id,
            None => gradient.id,
        });
    }

    /// Whether a derivative with respect to this operand can be asked for. Where an expression stands as it was written, its
    /// numbers are asked about too.
    fn varies(&self, id: Id) -> bool {
        self.graph.verbatim || !matches!(self.graph.node(id), Node::Constant(_))
    }

    /// `g · slope`; where `g` is 0 by a selection it stays 0.
    fn chain(&self, g: Expr<'g>, slope: impl FnOnce() -> Expr<'g>) -> Expr<'g> {
        self.masked(g, |g| g * slope())
    }

    /// `apply` to what arrives, inside the selection that masks it.
    fn masked(&self, g: Expr<'g>, apply: impl FnOnce(Expr<'g>) -> Expr<'g>) -> Expr<'g> {
        let graph = self.graph;
        match graph.node(g.id) {
            Node::Select(condition, a, b) if graph.is(b, 0.0) => {
                graph.make(Node::Select(condition, apply(graph.expr(a)).id, b))
            }
            Node::Select(condition, a, b) if graph.is(a, 0.0) => {
                graph.make(Node::Select(condition, a, apply(graph.expr(b)).id))
            }
            _ => apply(g),
        }
    }

    fn hand_on(&mut self, node: Id, g: Expr<'g>) {
        let graph = self.graph;
        let value = graph.expr(node);
        let at = |id: Id| graph.expr(id);
        match graph.node(node) {
            Node::Variable(_) | Node::Constant(_) => {}
            Node::Unary(op, x) if self.varies(x) => {
                let x = at(x);
                let zero = graph.constant(0.0);
                let gradient = match op {
                    Unary::Negate => -g,
                    Unary::Power(n) => self.chain(g, || f64::from(n) * x.powi(n - 1)),
                    Unary::Exp => self.chain(g, || value),
                    Unary::Log => self.masked(g, |g| g / x),
                    Unary::Sqrt => self.masked(g, |g| g / (2.0 * value)),
                    Unary::Abs => x.less(0.0).select(-g, zero_at(x, g)),
                    Unary::Sin => self.chain(g, || x.cos()),
                    Unary::Cos => self.masked(g, |g| -(g * x.sin())),
                    Unary::Tanh => self.chain(g, || 1.0 - value * value),
                    Unary::Sigmoid => self.chain(g, || value * (1.0 - value)),
                    Unary::Softplus => self.chain(g, || x.sigmoid()),
                    Unary::Relu => graph.constant(0.0).less(x).select(g, zero),
                    Unary::Erf => self.chain(g, || FRAC_2_SQRT_PI * (-(x * x)).exp()),
                };
                self.arrive(node, 0, gradient);
            }
            Node::Unary(..) => {}
            Node::Binary(op, x, y) => {
                if op.is_comparison() {
                    return;
                }
                let (vary, x, y) = ([self.varies(x), self.varies(y)], at(x), at(y));
                if vary[0] {
                    let gradient = match op {
                        Binary::Add | Binary::Subtract => g,
                        Binary::Multiply => self.chain(g, || y),
                        Binary::Divide => self.masked(g, |g| g / y),
                        Binary::Power => {
                            let slope = self.chain(g, || y * x.pow(y - 1.0));
                            if vary[1] { y.equal(0.0).select(0.0, slope) } else { slope }
                        }
                        Binary::Min => x.less(y).select(g, half_where_equal(x, y, g)),
                        Binary::Max => y.less(x).select(g, half_where_equal(x, y, g)),
                        Binary::Less | Binary::LessEqual | Binary::Equal | Binary::NotEqual => return,
                    };
                    self.arrive(node, 0, gradient);
                }
                if vary[1] {
                    let gradient = match op {
                        Binary::Add => g,
                        Binary::Subtract => -g,
                        Binary::Multiply => self.chain(g, || x),
                        Binary::Divide => self.masked(g, |g| -(g * value) / y),
                        Binary::Power => {
                            let slope = self.chain(g, || value * x.log());
                            x.equal(0.0).select(y.less(0.0).select(slope, 0.0), slope)
                        }
                        Binary::Min => y.less(x).select(g, half_where_equal(x, y, g)),
                        Binary::Max => x.less(y).select(g, half_where_equal(x, y, g)),
                        Binary::Less | Binary::LessEqual | Binary::Equal | Binary::NotEqual => return,
                    };
                    self.arrive(node, 1, gradient);
                }
            }
            Node::Select(condition, a, b) => {
                let (holds, zero) = (super::Condition(at(condition)), graph.constant(0.0));
                if self.varies(a) {
                    self.arrive(node, 1, holds.select(g, zero));
                }
                if self.varies(b) {
                    self.arrive(node, 2, holds.select(zero, g));
                }
            }
        }
    }
}

/// `g` where `x > 0`, 0 where it is 0.
fn zero_at<'g>(x: Expr<'g>, g: Expr<'g>) -> Expr<'g> {
    x.graph.constant(0.0).less(x).select(g, 0.0)
}

/// `g / 2` where `x = y`, else 0.
fn half_where_equal<'g>(x: Expr<'g>, y: Expr<'g>, g: Expr<'g>) -> Expr<'g> {
    x.equal(y).select(0.5 * g, 0.0)
}
