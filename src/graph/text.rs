//! Graphs as the text that [`Graph::parse`](super::Graph::parse) reads.

use super::op::{Binary, Node, Unary};
use super::program::{Function, Id};

/// How deep a text is nested before a part of it is given a name: less than what is read.
const DEEPEST: usize = 64;

impl Function {
    /// The first output as text: for an activation or a loss, say, that was built in Rust. What is used twice is a
    /// definition.
    ///
    /// ```
    /// use wgrad::{Activation, graph::Graph};
    /// let graph = Graph::new();
    /// let x = graph.variable("x");
    /// let text = graph.function(&["x"], &[x * x.softplus().tanh() + x / 8.0])?.text();
    /// assert_eq!(text, "(x * tanh(softplus(x))) + (x / 8)");
    /// let activation = Activation::custom(&text)?;
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn text(&self) -> String {
        let mut uses = vec![0; self.nodes.len()];
        self.nodes.iter().flat_map(Node::operands).for_each(|operand| uses[operand.index()] += 1);
        let taken = |name: &String| self.inputs.contains(name);
        let mut names = (0..).map(|i| format!("t{i}")).filter(|name| !taken(name));
        let mut definitions = String::new();
        // Each node's text as an operand, and how deep that is.
        let mut written: Vec<(String, usize)> = Vec::with_capacity(self.nodes.len());
        let output = self.outputs.first().map_or(0, |output| output.index());
        for (place, node) in self.nodes.iter().enumerate().take(output + 1) {
            let at = |id: Id| written[id.index()].0.as_str();
            let depth = node.operands().map(|id| written[id.index()].1 + 1).max().unwrap_or(0);
            let (text, is_operand) = self.write(node, &at);
            if place == output {
                return definitions + &text;
            }
            let condition = matches!(node, Node::Binary(op, ..) if op.is_comparison());
            let leaf = matches!(node, Node::Variable(_) | Node::Constant(_));
            let shared = uses[place] > 1 || depth > DEEPEST;
            written.push(match (is_operand, shared && !condition && !leaf) {
                (_, true) => {
                    let name = names.next().unwrap_or_default();
                    definitions += &format!("{name} = {text}; ");
                    (name, 0)
                }
                (true, false) => (text, depth),
                (false, false) => (format!("({text})"), depth),
            });
        }
        definitions
    }

    /// A node's text, and whether it can stand beside an operator as it is.
    fn write<'a>(&self, node: &Node, at: &dyn Fn(Id) -> &'a str) -> (String, bool) {
        match *node {
            Node::Variable(i) => (self.inputs[i].clone(), true),
            Node::Constant(bits) => {
                let x = f64::from_bits(bits);
                (x.to_string(), x.is_sign_positive())
            }
            Node::Unary(Unary::Negate, x) => (format!("-{}", at(x)), false),
            Node::Unary(Unary::Power(n), x) => (format!("{}^{n}", at(x)), false),
            Node::Unary(op, x) => (format!("{}({})", op.name(), at(x)), true),
            Node::Binary(op @ (Binary::Min | Binary::Max), x, y) => {
                (format!("{}({}, {})", op.name(), at(x), at(y)), true)
            }
            Node::Binary(op, x, y) => (format!("{} {} {}", at(x), op.name(), at(y)), false),
            Node::Select(condition, a, b) => (format!("select({}, {}, {})", at(condition), at(a), at(b)), true),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::graph::Graph;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let names = ["x", "t0"];
        for text in [
            "x",
            "-x^2 - (-x)^3 + x^-2",
            "2^x^t0 / (1e-30 - 3e30 * x)",
            "select(x < t0, min(x, 2), max(t0, -0.5)) + select(x == 1, x, 0)",
            "a = sin(x) * cos(t0); b = a * a; (b - a) / (b + a) - (x - (t0 - a))",
            "exp(-softplus(x)) * erf(sqrt(abs(t0))) + relu(log(2 + sigmoid(x)))",
            "select(x < t0, x, t0) * select(x < t0, t0, x^0.3)",
        ] {
            let function = |text: &str| {
                let graph = Graph::new();
                let value = graph.parse(text, &names).unwrap();
                graph.function(&names, &[value]).unwrap()
            };
            let (first, written) = (function(text), function(text).text());
            for at in [[0.3, -1.7], [2.5, 0.75], [1.0, 1.0]] {
                let bits = |f: &crate::graph::Function| f.eval::<f64>(&at)[0].to_bits();
                assert_eq!(bits(&first), bits(&function(&written)), "{text} as {written} at {at:?}");
            }
            assert_eq!(function(&written).text(), written, "{text}");
        }
        let graph = Graph::new();
        let x = graph.variable("x");
        let deep = (0..1000).fold(x, |y, _| y.sin());
        let deep = graph.function(&["x"], &[deep]).unwrap().text();
        assert!(Graph::new().parse(&deep, &["x"]).is_ok());
    }
}
