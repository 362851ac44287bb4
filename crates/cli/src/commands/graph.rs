//! `wgrad graph`

use crate::context::Context;
use crate::files::check_destination;
use crate::picture::{Picture, dot, svg};
use crate::words::{digits, table};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use wgpu::naga::front::wgsl::parse_str;
use wgrad::data::write_atomic;
use wgrad::graph::{Graph, Node, PRELUDE, Trace, TracedEdge, TracedNode};
use wgrad::{Error, Result};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wgrad graph \"two = 2*100*1.1\"\n  wgrad graph \"z = (x + y)^2\" x=10 y=5 --svg z.svg\n  \
                  wgrad graph \"huber = select(abs(y-t) < 1, 0.5*(y-t)^2, abs(y-t)-0.5)\" --wgsl\n\nExpressions have \
                  numbers, pi, + - * / ^, exp log sqrt abs sin cos tanh sigmoid softplus relu erf, pow min max, and \
                  select(condition, a, b) with < <= > >= == !=. Definitions are separated by ; and the last one is the \
                  result."
)]
pub struct Args {
    /// The expression, or definitions NAME = EXPRESSION; …
    #[arg(value_name = "EXPRESSION", allow_hyphen_values = true)]
    text: String,
    /// The variables' values
    #[arg(value_name = "NAME=NUMBER")]
    values: Vec<Assignment>,
    /// Write the graph for Graphviz
    #[arg(long, value_name = "FILE")]
    dot: Option<PathBuf>,
    /// Write the graph as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print the expression and its derivatives as WGSL instead
    #[arg(long, conflicts_with_all = ["dot", "svg", "values"])]
    wgsl: bool,
}

/// A variable's name and its value.
#[derive(Clone)]
struct Assignment(String, f64);

impl FromStr for Assignment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('=').map(|(name, number)| (name.trim(), number.trim().parse()));
        match parts {
            Some((name, Ok(value))) if !name.is_empty() => Ok(Assignment(name.to_owned(), value)),
            _ => Err(Error::Config(format!("expected a name and its value, as in x=10, found {text:?}"))),
        }
    }
}

pub fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    match args.wgsl {
        true => write_wgsl(&args.text, context)?,
        false => trace(args, context)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn trace(args: &Args, context: &Context) -> Result<()> {
    let files = || args.dot.iter().chain(&args.svg);
    files().try_for_each(|path| check_destination(path, &[]))?;
    // What gives no number whatever the values are is found where constants are folded.
    Graph::new().parse_any(&args.text)?;
    let graph = Graph::verbatim();
    let (_, result) = graph.parse_any(&args.text)?;
    let values: Vec<(&str, f64)> = args.values.iter().map(|Assignment(name, value)| (name.as_str(), *value)).collect();
    let trace = result.trace(&values)?;
    let write = |path: &Path, text: String| write_atomic(path, |out| out.write_all(text.as_bytes()));
    if files().next().is_some() {
        let picture = Picture::of(&trace, &args.text)?;
        args.dot.as_deref().map_or(Ok(()), |path| write(path, dot(&picture)))?;
        args.svg.as_deref().map_or(Ok(()), |path| write(path, svg(&picture)))?;
    }
    context.say(rows(&trace))?;
    context.result(|| to_json(&trace))
}

/// What the nodes are called in the table: operations without a name of their own are numbered.
fn names(trace: &Trace) -> Vec<String> {
    let mut numbered = 0;
    let name = |node: &TracedNode| match (&node.label, node.node) {
        (Some(label), _) => label.clone(),
        (None, Node::Constant(_)) => node.symbol(),
        _ => {
            numbered += 1;
            format!("#{numbered}")
        }
    };
    trace.nodes.iter().map(name).collect()
}

fn operation(node: &TracedNode) -> String {
    match node.node {
        Node::Variable(_) => "variable".to_owned(),
        Node::Constant(_) => "number".to_owned(),
        _ => node.symbol(),
    }
}

fn rows(trace: &Trace) -> String {
    let names = names(trace);
    let header = ["node", "operation", "operands", "value", "gradient"].map(String::from).to_vec();
    let row = |(name, node): (&String, &TracedNode)| {
        let operands: Vec<&str> = node.node.operands().map(|id| names[id.index()].as_str()).collect();
        vec![name.clone(), operation(node), operands.join(", "), digits(node.value), digits(node.gradient)]
    };
    table(&std::iter::once(header).chain(names.iter().zip(&trace.nodes).map(row)).collect::<Vec<_>>())
}

fn to_json(trace: &Trace) -> Value {
    let names = names(trace);
    let node = |(name, node): (&String, &TracedNode)| {
        json!({
            "name": name,
            "operation": operation(node),
            "operands": node.node.operands().map(|id| id.index()).collect::<Vec<_>>(),
            "value": node.value,
            "gradient": node.gradient,
        })
    };
    let edge =
        |edge: &TracedEdge| json!({ "from": edge.from, "to": edge.to, "value": edge.value, "gradient": edge.gradient });
    json!({
        "nodes": names.iter().zip(&trace.nodes).map(node).collect::<Vec<_>>(),
        "edges": trace.edges.iter().map(edge).collect::<Vec<_>>(),
    })
}

fn write_wgsl(text: &str, context: &Context) -> Result<()> {
    let graph = Graph::new();
    let (name, result) = graph.parse_any(text)?;
    let name = name.unwrap_or_else(|| "f".to_owned());
    let variables = result.variables();
    let inputs: Vec<&str> = variables.iter().map(String::as_str).collect();
    let gradients = result.backward();
    let mut functions = vec![graph.function(&inputs, &[result])?.wgsl(&name)];
    for &input in &inputs {
        let slope = gradients.of(graph.variable(input));
        functions.push(graph.function(&inputs, &[slope])?.wgsl(&format!("{name}_by_{input}")));
    }
    let all = functions.join("\n");
    parse_str(&format!("{PRELUDE}{all}"))
        .map_err(|error| Error::Config(format!("WGSL does not allow these names: {error}; choose others")))?;
    context.say(all.trim_end())?;
    context.result(|| json!({ "inputs": inputs, "functions": functions }))
}
