//! `wgrad graph`

use crate::support::{Folder, Run};
use std::fs;
use std::path::Path;

fn graph(folder: &Folder, arguments: &[&str]) -> Run {
    folder.run(&[], &[&["graph"], arguments].concat())
}

/// The commands of the documentation, as arguments: its texts in quotes hold no quotes.
fn documented(line: &str) -> Vec<&str> {
    let parts = line.split('"').enumerate();
    parts.flat_map(|(i, part)| if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() }).collect()
}

#[test]
fn the_documentation_shows_what_its_commands_make() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/graph.md")).unwrap();
    let folder = Folder::new();
    fs::create_dir(folder.path("docs")).unwrap();
    let mut pictures = 0;
    for block in page.split("```sh\nwgrad graph ").skip(1) {
        let command = block.lines().next().unwrap();
        let arguments = documented(command);
        let run = graph(&folder, &arguments);
        assert_eq!(run.code, 0, "{command}: {}", run.stderr);
        if let Some(name) = arguments.iter().find(|argument| argument.ends_with(".svg")) {
            let committed = fs::read(root.join(name)).unwrap();
            assert!(
                folder.read(name) == committed,
                "{name} is no longer what this command draws: wgrad graph {command}"
            );
            pictures += 1;
        } else {
            assert!(page.contains(run.stdout.trim_end()), "the page lacks what this prints: wgrad graph {command}");
        }
    }
    assert_eq!(pictures, 3);
}

#[test]
fn a_graph_is_written_for_graphviz_and_for_programs() {
    let folder = Folder::new();
    let text = "a = x < 2; ";
    graph(&folder, &[text, "x=1"]).refused(2, &["column 5", "the result is a number"]);
    let run = graph(&folder, &["s = x * y; r = select(s < 9, s^2, 1)", "x=2", "y=-3", "--dot", "g.dot", "--json"]);
    let json = run.json();
    let nodes = json["nodes"].as_array().unwrap();
    let named = |name: &str| nodes.iter().find(|node| node["name"] == name).unwrap();
    assert_eq!((&named("r")["value"], &named("x")["gradient"]), (&36.0.into(), &36.0.into()));
    assert_eq!((&named("y")["gradient"], &named("s")["gradient"]), (&(-24.0).into(), &(-12.0).into()));
    assert_eq!(json["edges"].as_array().unwrap().len(), 8);
    let dot = String::from_utf8(folder.read("g.dot")).unwrap();
    assert!(dot.starts_with("// s = x * y;") && dot.contains("label=<&lt;>") && dot.contains(">-24<"), "{dot}");
}

#[test]
fn derivatives_are_written_as_wgsl() {
    let folder = Folder::new();
    let run = graph(&folder, &["-x^2 * y", "--wgsl"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.contains("fn f(x: f32, y: f32) -> f32 {") && run.stdout.contains("fn f_by_y("),
        "{}",
        run.stdout
    );
    for name in ["let", "t0'", "return"] {
        graph(&folder, &[&format!("{name} * x"), "--wgsl"]).refused(2, &["WGSL does not allow", "choose others"]);
    }
    graph(&folder, &["x", "x=3", "--wgsl"]).refused(2, &["cannot be used with"]);
}

#[test]
fn what_is_wrong_is_said() {
    let folder = Folder::new();
    let cases: [(&[&str], &[&str]); 16] = [
        (&["x + y", "x=1"], &["no value for y", "y=2"]),
        (&["x + y"], &["no value for x, y"]),
        (&["x + 1", "x=1", "tx=2"], &["no variable \"tx\"", "it has x"]),
        (&["1 + 1", "x=1"], &["no variable \"x\"", "it has none"]),
        (&["x", "x=1", "x=2"], &["x has two values"]),
        (&["x", "x=one"], &["expected a name and its value, as in x=10, found \"x=one\""]),
        (&["x", "x"], &["expected a name and its value"]),
        (&["x", "x=inf"], &["the value of x is inf", "finite"]),
        (&["log(x)", "x=-1"], &["log(-1) is not a number", "choose other values"]),
        (&["r = sqrt(x - 2) + 1", "x=1"], &["sqrt(-1) is not a number"]),
        (&["2 *"], &["column 4", "expected a number", "2 *\n     ^"]),
        (&["sni(x)", "x=1"], &["column 1", "did you mean \"sin\"?"]),
        (&["x / 0", "x=1"], &["column 3", "division by the constant 0"]),
        (&["x / (2 - 1 - 1)", "x=1"], &["column 3", "division by the constant 0"]),
        (&["x", "x=1", "--svg", "missing/x.svg"], &["missing", "create it first"]),
        (&["", "x=1"], &["expected an expression, found nothing"]),
    ];
    for (arguments, words) in cases {
        let code = if arguments.contains(&"--svg") { 1 } else { 2 };
        graph(&folder, arguments).refused(code, words);
    }
    for nested in ["(", "-", "sin(", "x^"].map(|part| format!("{}x", part.repeat(10_000))) {
        graph(&folder, &[&nested, "x=1"]).refused(2, &["column", "nested deeper than 256 levels"]);
    }
    // Long without being nested: a deep graph, which is computed, but drawn by nobody.
    let long = format!("x{}", " + sin(x)".repeat(10_000));
    let run = graph(&folder, &[&long, "x=0"]);
    assert!(run.code == 0 && run.stdout.lines().last().unwrap().ends_with("0         1"), "{}", run.stderr);
    graph(&folder, &[&long, "x=0", "--svg", "x.svg"]).refused(2, &["20001 nodes", "at most 200"]);
    assert!(!folder.path("x.svg").exists());
}
