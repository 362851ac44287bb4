//! An expression with numbers: what flows forward through its graph and what flows back.

use super::op::Node;
use super::program::Id;
use super::{Expr, Graph};
use crate::error::did_you_mean;
use crate::{Error, Result};
use std::collections::HashMap;

/// Every node and edge of an expression's graph, with the numbers of one forward and one backward pass.
///
/// ```
/// use wgrad::graph::Graph;
/// let graph = Graph::verbatim();
/// let trace = graph.parse_any("2 * 100 * tax")?.1.trace(&[("tax", 1.1)])?;
/// let gradients: Vec<_> = trace.nodes.iter().map(|node| (node.name(), node.gradient)).collect();
/// assert_eq!(gradients[..3], [("2".into(), 100.0 * 1.1), ("100".into(), 2.0 * 1.1), ("*".into(), 1.1)]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Operands before what is computed from them; the last one is the result.
    pub nodes: Vec<TracedNode>,
    /// From every operand to what is computed from it.
    pub edges: Vec<TracedEdge>,
}

/// A node with what it is worth and what arrives there.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedNode {
    /// A variable's name, or that of a definition in the text.
    pub label: Option<String>,
    /// What it is computed by. What it is computed from are places in [`Trace::nodes`].
    pub node: Node,
    /// The number that it is.
    pub value: f64,
    /// The derivative of the result with respect to it; 0 for conditions and what only they depend on.
    pub gradient: f64,
}

/// What flows between an operand and what is computed from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TracedEdge {
    /// The operand's place in [`Trace::nodes`].
    pub from: usize,
    /// The place of what is computed from it.
    pub to: usize,
    /// What flows forward: the operand's value.
    pub value: f64,
    /// What flows back: what the operand receives from there.
    pub gradient: f64,
}

impl TracedNode {
    /// The symbol of its operation: `+`, `exp`, `select`; a variable's name, a constant's digits.
    pub fn symbol(&self) -> String {
        match self.node {
            Node::Variable(_) => self.label.clone().unwrap_or_default(),
            Node::Constant(bits) => f64::from_bits(bits).to_string(),
            Node::Unary(op, _) => op.name(),
            Node::Binary(op, ..) => op.name().to_owned(),
            Node::Select(..) => "select".to_owned(),
        }
    }

    /// Its label, or the symbol where it has none.
    pub fn name(&self) -> String {
        self.label.clone().unwrap_or_else(|| self.symbol())
    }
}

impl<'g> Expr<'g> {
    /// The names of the variables that this expression depends on, in the order in which its graph met them.
    pub fn variables(self) -> Vec<String> {
        let needed = self.graph.needed(&[self]);
        let variable = |id: &Id| matches!(self.graph.node(*id), Node::Variable(_));
        let ids = (0..needed.len()).filter(|&place| needed[place]).map(Id::at);
        ids.filter(variable).filter_map(|id| self.graph.label(id)).collect()
    }

    /// The value of every node, and the gradient that arrives there, where the variables have these values.
    ///
    /// On a [`Graph::verbatim`] each number of the text is a node of its own and receives a gradient too.
    ///
    /// # Errors
    /// [`Error::Config`] where a variable has no value or two, a value is not finite or belongs to no variable, or a node is
    /// not a number for these values: `log(-1)`.
    pub fn trace(self, values: &[(&str, f64)]) -> Result<Trace> {
        let graph = self.graph;
        check(&self.variables(), values)?;
        let gradients = self.backward();
        let needed = graph.needed(&[self]);
        let ids: Vec<Id> = (0..=self.id.index()).filter(|&place| needed[place]).map(Id::at).collect();
        let place = |id: Id| ids.partition_point(|&other| other < id);

        let arriving = ids.iter().map(|&id| gradients.of(graph.expr(id)));
        let flowing = gradients.edges().iter().map(|edge| graph.expr(edge.gradient));
        let wanted: Vec<Expr<'g>> = ids.iter().map(|&id| graph.expr(id)).chain(arriving).chain(flowing).collect();
        let (names, inputs): (Vec<&str>, Vec<f64>) = values.iter().copied().unzip();
        let found = graph.function(&names, &wanted)?.eval(&inputs);
        let (found, flowing) = found.split_at(2 * ids.len());
        let (found, arriving) = found.split_at(ids.len());

        let traced = ids.iter().zip(found).zip(arriving).map(|((&id, &value), &gradient)| {
            let node = graph.node(id).map(|id| Id::at(place(id)));
            TracedNode { label: graph.label(id), node, value, gradient }
        });
        let nodes: Vec<TracedNode> = traced.collect();
        check_numbers(graph, &nodes)?;
        let back = gradients.edges().iter().zip(flowing).map(|(edge, &gradient)| ((edge.node, edge.operand), gradient));
        let back: HashMap<(Id, usize), f64> = back.collect();
        let mut edges = Vec::new();
        for (to, (&id, traced)) in ids.iter().zip(&nodes).enumerate() {
            for (operand, from) in traced.node.operands().map(Id::index).enumerate() {
                let gradient = back.get(&(id, operand)).copied().unwrap_or(0.0);
                edges.push(TracedEdge { from, to, value: nodes[from].value, gradient });
            }
        }
        Ok(Trace { nodes, edges })
    }
}

/// Checks that each of the variables has one finite value, and nothing else has.
fn check(variables: &[String], values: &[(&str, f64)]) -> Result<()> {
    let known = variables.join(", ");
    for (i, &(name, value)) in values.iter().enumerate() {
        if !variables.iter().any(|variable| variable == name) {
            let nearest = did_you_mean(name, variables.iter().map(String::as_str));
            let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {known}") };
            return Err(Error::Config(format!("the expression has no variable {name:?}{nearest}; {known}")));
        }
        if values[..i].iter().any(|(other, _)| *other == name) {
            return Err(Error::Config(format!("{name} has two values; give it one")));
        }
        if !value.is_finite() {
            return Err(Error::Config(format!("the value of {name} is {value}; expected a finite number")));
        }
    }
    let missing = variables.iter().filter(|variable| values.iter().all(|(name, _)| name != variable));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    match missing.first() {
        None => Ok(()),
        Some(first) => {
            Err(Error::Config(format!("no value for {}; give each one, as in {first}=2", missing.join(", "))))
        }
    }
}

fn check_numbers(graph: &Graph, nodes: &[TracedNode]) -> Result<()> {
    let Some(node) = nodes.iter().find(|node| node.value.is_nan()) else { return Ok(()) };
    let numbers: Vec<Node> = nodes.iter().map(|node| Node::Constant(node.value.to_bits())).collect();
    let label = node.label.as_ref().map_or(String::new(), |label| format!("{label} = "));
    Err(Error::Config(format!("{label}{} is not a number; choose other values", graph.describe(node.node, &numbers))))
}
