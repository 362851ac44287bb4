//! Graphs as SVG.

use super::layout::{Layout, Outline, Passage, Point, Size, layout};
use super::{Kind, Picture, Shape, escaped};
use std::fmt::Write;

/// The colour of what flows forward; the two are told apart by colour-blind eyes too (Okabe and Ito's palette).
pub const FORWARD: &str = "#0072b2";

/// The colour of what flows back.
pub const BACKWARD: &str = "#d55e00";

const MARGIN: f64 = 16.0;

/// Text sizes: in nodes, on edges and below nodes.
const LARGE: f64 = 16.0;
const SMALL: f64 = 13.0;

/// Across a circle.
const CIRCLE: f64 = 40.0;

/// The height of a box: a label's, so that boxes and the labels of their edges lie side by side.
const BOX: f64 = 2.0 * SMALL + 8.0;

/// Below the picture: what the two colours mean.
const LEGEND: f64 = 26.0;

/// How far the directions spread, in radians from the horizontal, in which the edges at one side of a node meet it.
const SPREAD: f64 = 0.7;

/// The picture as a file of its own.
pub fn svg(picture: &Picture) -> String {
    let outline = Outline {
        nodes: picture.nodes.iter().map(outer_size).collect(),
        edges: picture.edges.iter().map(|edge| (edge.from, edge.to, label_size(&edge.value, &edge.gradient))).collect(),
    };
    let layout = layout(&outline);
    let width = layout.size[0].max(text_width("forward: value    backward: gradient", SMALL)) + 2.0 * MARGIN;
    let height = layout.size[1] + LEGEND + 2.0 * MARGIN;

    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"{:.0} {:.0} {width:.0} {height:.0}\" role=\"img\" font-family=\"Helvetica, Arial, sans-serif\">",
        -MARGIN, -MARGIN
    );
    let _ = writeln!(out, "<title>{}</title>", escaped(&picture.title));
    let _ = writeln!(
        out,
        "<rect x=\"{:.0}\" y=\"{:.0}\" width=\"100%\" height=\"100%\" fill=\"white\"/>",
        -MARGIN, -MARGIN
    );
    edges(&mut out, picture, &layout);
    for (node, &at) in picture.nodes.iter().zip(&layout.nodes) {
        draw_node(&mut out, node, at);
    }
    let _ = writeln!(
        out,
        "<text x=\"0\" y=\"{:.1}\" font-size=\"{SMALL}\"><tspan fill=\"{FORWARD}\">forward: value</tspan>\
         <tspan dx=\"16\" fill=\"{BACKWARD}\">backward: gradient</tspan></text>",
        layout.size[1] + LEGEND
    );
    out.push_str("</svg>\n");
    out
}

/// Wide enough for any sans-serif font.
fn text_width(text: &str, size: f64) -> f64 {
    0.62 * size * text.chars().count() as f64
}

fn label_size(value: &str, gradient: &str) -> Size {
    [text_width(value, SMALL).max(text_width(gradient, SMALL)) + 12.0, BOX]
}

/// Of the circle or box itself.
fn size(node: &Shape) -> Size {
    let width = text_width(&node.text, LARGE);
    match node.kind {
        Kind::Operation => [(width + 14.0).max(CIRCLE), CIRCLE],
        Kind::Variable | Kind::Number => [(width + 18.0).max(BOX), BOX],
        Kind::Result => [width + 8.0, BOX],
    }
}

/// With the caption, above which as much is left so that edges meet the middle.
fn outer_size(node: &Shape) -> Size {
    let [width, height] = size(node);
    match &node.caption {
        Some(caption) => [width.max(text_width(caption, SMALL)), height + 2.0 * (SMALL + 4.0)],
        None => [width, height],
    }
}

fn draw_node(out: &mut String, node: &Shape, [x, y]: Point) {
    let [width, height] = size(node);
    let fill = match node.kind {
        Kind::Variable => Some("#e8f1fa"),
        Kind::Number => Some("#f4f4f4"),
        Kind::Operation => Some("white"),
        Kind::Result => None,
    };
    let round = if node.kind == Kind::Operation { height / 2.0 } else { 8.0 };
    if let Some(fill) = fill {
        let (left, top) = (x - width / 2.0, y - height / 2.0);
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{round:.1}\" \
             fill=\"{fill}\" stroke=\"#333\" stroke-width=\"1.5\"/>"
        );
    }
    text(out, [x, y + 0.35 * LARGE], LARGE, "#111", &node.text);
    if let Some(caption) = &node.caption {
        text(out, [x, y + height / 2.0 + SMALL + 2.0], SMALL, "#555", caption);
    }
}

/// Text around `x`, on the line `y`.
fn text(out: &mut String, [x, y]: Point, size: f64, colour: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{colour}\" text-anchor=\"middle\">{text}</text>"
    );
}

fn edges(out: &mut String, picture: &Picture, layout: &Layout) {
    let ends = |of: fn(&super::Arrow) -> usize, height: fn(&[Passage]) -> f64| -> Vec<f64> {
        let height = |edge: usize| height(&layout.edges[edge]);
        (0..picture.edges.len())
            .map(|edge| {
                let beside: Vec<usize> = (0..picture.edges.len())
                    .filter(|&other| of(&picture.edges[other]) == of(&picture.edges[edge]))
                    .collect();
                let above = beside.iter().filter(|&&other| (height(other), other) < (height(edge), edge)).count();
                let step = 2.0 * SPREAD / beside.len() as f64;
                step * (above as f64 + 0.5) - SPREAD
            })
            .collect()
    };
    let leaving = ends(|edge| edge.from, |passages| passages.first().map_or(0.0, |passage| passage.left[1]));
    let arriving = ends(|edge| edge.to, |passages| passages.last().map_or(0.0, |passage| passage.right[1]));
    for (i, (edge, passages)) in picture.edges.iter().zip(&layout.edges).enumerate() {
        let (begin, out_of) = boundary(&picture.nodes[edge.from], layout.nodes[edge.from], 1.0, leaving[i]);
        let (end, into) = boundary(&picture.nodes[edge.to], layout.nodes[edge.to], -1.0, arriving[i]);
        let mut path = format!("M{:.1} {:.1}", begin[0], begin[1]);
        let (mut at, mut direction) = (begin, out_of);
        for passage in passages {
            curve(&mut path, at, direction, [-1.0, 0.0], passage.left);
            let _ = write!(path, " L{:.1} {:.1}", passage.right[0], passage.right[1]);
            (at, direction) = (passage.right, [1.0, 0.0]);
        }
        // The line ends inside the head, so that its blunt end does not show.
        let neck = [end[0] + 6.0 * into[0], end[1] + 6.0 * into[1]];
        curve(&mut path, at, direction, into, neck);
        let _ = writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"#555\" stroke-width=\"1.3\"/>");
        head(out, end, into);
        for passage in passages.iter().filter(|passage| passage.labelled) {
            let (x, y) = ((passage.left[0] + passage.right[0]) / 2.0, passage.left[1]);
            text(out, [x, y - 5.0], SMALL, FORWARD, &edge.value);
            text(out, [x, y + SMALL + 1.0], SMALL, BACKWARD, &edge.gradient);
        }
    }
}

/// Where an edge meets a node on its left (`side` = -1) or right side, and in which direction it goes off from there.
fn boundary(node: &Shape, [x, y]: Point, side: f64, angle: f64) -> (Point, Point) {
    let [width, height] = size(node);
    match node.kind {
        Kind::Operation => {
            let (sine, cosine) = angle.sin_cos();
            let middle = x + side * (width - height) / 2.0;
            ([middle + side * cosine * height / 2.0, y + sine * height / 2.0], [side * cosine, sine])
        }
        Kind::Variable | Kind::Number | Kind::Result => {
            ([x + side * (width / 2.0), y + angle / SPREAD * height / 4.0], [side, 0.0])
        }
    }
}

/// From `at`, left in `direction`, to `end`, reached against `into`.
fn curve(path: &mut String, at: Point, direction: Point, into: Point, end: Point) {
    let reach = (end[0] - at[0]) / 2.0;
    let control = |point: Point, direction: Point| [point[0] + reach * direction[0], point[1] + reach * direction[1]];
    let (a, b) = (control(at, direction), control(end, into));
    let _ = write!(path, " C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}", a[0], a[1], b[0], b[1], end[0], end[1]);
}

/// An arrow's head with its tip at `tip`; the line comes from `from`.
fn head(out: &mut String, tip: Point, from: Point) {
    let across = [-from[1], from[0]];
    let corner = |side: f64| [0, 1].map(|k| tip[k] + 9.0 * from[k] + side * 3.5 * across[k]);
    let (a, b) = (corner(1.0), corner(-1.0));
    let _ = writeln!(
        out,
        "<path d=\"M{:.1} {:.1} L{:.1} {:.1} L{:.1} {:.1} Z\" fill=\"#555\"/>",
        tip[0], tip[1], a[0], a[1], b[0], b[1]
    );
}
