//! Graphs in the language of Graphviz.

use super::{Kind, Picture, escaped};
use std::fmt::Write;

/// The picture for `dot`. The two numbers of an edge are a node in its middle, since Graphviz puts labels beside an edge and
/// not around it.
pub fn dot(picture: &Picture) -> String {
    let mut text = format!("// {}\n", picture.title.replace('\n', "\n// "));
    text.push_str("digraph {\n  rankdir=LR; nodesep=0.15; ranksep=0.2;\n");
    text.push_str("  node [fontname=\"Helvetica\", fontsize=14, margin=\"0.05\"];\n");
    for (i, node) in picture.nodes.iter().enumerate() {
        let style = match node.kind {
            Kind::Variable => "shape=box, style=\"rounded,filled\", fillcolor=\"#e8f1fa\"",
            Kind::Number => "shape=box, style=\"rounded,filled\", fillcolor=\"#f4f4f4\"",
            Kind::Operation if node.text.chars().count() > 3 => "shape=ellipse",
            Kind::Operation => "shape=circle, width=0.5",
            Kind::Result => "shape=plain, fontname=\"Helvetica-Bold\"",
        };
        let caption =
            node.caption.as_ref().map_or(String::new(), |name| format!(", xlabel=<<i>{}</i>>", escaped(name)));
        let _ = writeln!(text, "  n{i} [label=<{}>, {style}{caption}];", escaped(&node.text));
    }
    for (i, edge) in picture.edges.iter().enumerate() {
        let row = |number: &str, colour: &str| format!("<tr><td><font color=\"{colour}\">{number}</font></td></tr>");
        let (above, below) = (row(&edge.value, super::svg::FORWARD), row(&edge.gradient, super::svg::BACKWARD));
        let label = format!("<table border=\"0\" cellborder=\"0\" cellspacing=\"0\">{above}<hr/>{below}</table>");
        let _ = writeln!(text, "  e{i} [shape=plain, fontsize=12, label=<{label}>];");
        let _ = writeln!(text, "  n{} -> e{i}:w [arrowhead=none]; e{i}:e -> n{};", edge.from, edge.to);
    }
    text.push_str("}\n");
    text
}
