//! Computation graphs as textbooks draw them: from the left to the right, on each edge the value that flows forward above
//! the gradient that flows back.

mod dot;
mod layout;
mod svg;

pub use dot::dot;
pub use svg::svg;

use crate::words::digits;
use wgrad::graph::{Node, Trace};
use wgrad::{Error, Result};

/// What is drawn.
pub struct Picture {
    title: String,
    nodes: Vec<Shape>,
    edges: Vec<Arrow>,
}

/// A node.
struct Shape {
    kind: Kind,
    text: String,
    /// What a definition calls it, below it.
    caption: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Variable,
    Number,
    Operation,
    Result,
}

/// An edge with its two numbers.
struct Arrow {
    from: usize,
    to: usize,
    value: String,
    gradient: String,
}

/// More nodes than these nobody can read in one picture.
const MOST_NODES: usize = 200;

impl Picture {
    /// The picture of `trace`, whose expression was written as `title`.
    pub fn of(trace: &Trace, title: &str) -> Result<Picture> {
        let Some(last) = trace.nodes.last().filter(|_| trace.nodes.len() <= MOST_NODES) else {
            return Err(Error::Config(format!(
                "the graph has {} nodes, too many for a picture; expected at most {MOST_NODES}",
                trace.nodes.len()
            )));
        };
        let result = trace.nodes.len();
        let shape = |(place, node): (usize, &wgrad::graph::TracedNode)| {
            let (kind, caption) = match node.node {
                Node::Variable(_) => (Kind::Variable, None),
                Node::Constant(_) => (Kind::Number, None),
                // The result's name stands at the end of its arrow.
                _ => (Kind::Operation, node.label.clone().filter(|_| place + 1 < result)),
            };
            Shape { kind, text: symbol(&node.symbol()), caption }
        };
        let mut nodes: Vec<Shape> = trace.nodes.iter().enumerate().map(shape).collect();
        nodes.push(Shape {
            kind: Kind::Result,
            text: last.label.clone().unwrap_or("result".to_owned()),
            caption: None,
        });
        let arrow = |from, to, value, gradient| Arrow { from, to, value: digits(value), gradient: digits(gradient) };
        let edges = trace.edges.iter().map(|edge| arrow(edge.from, edge.to, edge.value, edge.gradient));
        let edges = edges.chain([arrow(result - 1, result, last.value, last.gradient)]).collect();
        Ok(Picture { title: title.trim().to_owned(), nodes, edges })
    }
}

/// An operation's name as mathematics writes it.
fn symbol(name: &str) -> String {
    match name {
        "*" => "×",
        "/" => "÷",
        "-" => "−",
        "<=" => "≤",
        "==" => "=",
        "!=" => "≠",
        name => name,
    }
    .to_owned()
}

/// `text` as XML and Graphviz's labels want it.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
