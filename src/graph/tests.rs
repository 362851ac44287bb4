use super::*;

fn wgsl(text: &str) -> String {
    let graph = Graph::new();
    let y = graph.parse(text, &["x", "y"]).expect("the text is an expression");
    graph.function(&["x", "y"], &[y]).expect("a function").wgsl("f")
}

fn value(text: &str, [x, y]: [f64; 2]) -> f64 {
    let graph = Graph::new();
    let z = graph.parse(text, &["x", "y"]).expect("the text is an expression");
    graph.function(&["x", "y"], &[z]).expect("a function").eval(&[x, y])[0]
}

fn refusal(text: &str) -> (usize, String) {
    match Graph::new().parse(text, &["x", "y"]) {
        Err(Error::Expression { column, what, .. }) => (column, what),
        Err(error) => (0, error.to_string()),
        Ok(_) => (0, format!("{text} was taken")),
    }
}

#[test]
fn text_means_what_it_says() {
    let cases = [
        ("-x^2", -9.0),
        ("2^3^2", 512.0),
        ("x - y - 1", -2.0),
        ("x / y / 2", 0.375),
        ("2 * -x + +y", -2.0),
        ("x^-2", 1.0 / 9.0),
        ("(x + y)^2", 49.0),
        ("min(x, y, 1.5e0) + max(1, x, y)", 5.5),
        ("select(x < y, x, y) + select(x >= y, 10, 20)", 23.0),
        ("select(x == 3, 1, 0) + select(x != 3, 5, 7)", 8.0),
        ("r = x − y; r × r ÷ 2", 0.5),
        ("a = x\n\nb = a * y\nb + a", 15.0),
        ("x\n  + y *\n 2\n", 11.0),
        ("max(x,\n y)\n", 4.0),
        ("pow(y, x) + pow(y, 0.5)", 66.0),
        ("sqrt(y) + abs(-x) + relu(-1 * x) + exp(0) + log(1)", 6.0),
        ("cos(2*pi) + sin(0)", 1.0),
        (".5 + 1.e1", 10.5),
    ];
    for (text, expected) in cases {
        let found = value(text, [3.0, 4.0]);
        assert!((found - expected).abs() <= 1e-15 * expected.abs(), "{text}: {found}, expected {expected}");
    }
}

#[test]
fn what_is_wrong_is_pointed_at() {
    let cases = [
        ("x + yy", 5, "unknown name \"yy\" (did you mean \"y\"?); known: x, y"),
        ("x +", 4, "expected a number, a name or \"(\" behind \"+\", found the end"),
        ("x * / y", 5, "expected a number, a name or \"(\" behind \"*\", found \"/\""),
        ("(x + y", 1, "this parenthesis is never closed: expected \")\", found the end"),
        ("x + y)", 6, "this \")\" closes nothing"),
        ("x / 0", 3, "division by the constant 0"),
        ("x / (1 - 1)", 3, "division by the constant 0"),
        ("log(0) + x", 1, "log(0) gives no finite number"),
        ("x + exp(1000)", 5, "exp(1000) gives no finite number"),
        ("x + 1e39", 5, "1e39 is not a finite 32-bit number"),
        ("sni(x)", 1, "unknown function \"sni\" (did you mean \"sin\"?)"),
        ("sin", 1, "\"sin\" is a function; expected \"(\" behind it"),
        ("sin(x, y)", 1, "sin takes 1 argument, found 2"),
        ("min(x)", 1, "min takes at least 2 arguments, found 1"),
        ("sin()", 5, "expected an argument"),
        ("select(x, 1, 2)", 8, "the first argument of select is a condition"),
        ("(x < y) + 1", 1, "an operand of \"+\" is a number"),
        ("x < y < 1", 1, "an operand of \"<\" is a number"),
        ("x < y", 1, "the result is a number"),
        ("x, y", 2, "a comma stands between the arguments"),
        ("2x", 1, "a number ends before 'x'; write a product as 2 * …"),
        ("x y", 3, "expected an operator or the end, found \"y\""),
        ("x # y", 3, "unexpected character '#'"),
        ("x = 3", 1, "\"x\" has a meaning already"),
        ("sin = 3", 1, "\"sin\" is built in"),
        ("", 1, "expected an expression, found nothing"),
        ("x; y", 1, "this is neither the result, which comes last, nor has it a name"),
        ("a = x; \n b = ;", 6, "expected a number, a name or \"(\""),
    ];
    for (text, column, what) in cases {
        let found = refusal(text);
        assert!(found.0 == column && found.1.starts_with(what), "{text}: {found:?}, expected {column}: {what}");
    }
    let shown = Graph::new().parse("x + yy * 2", &["x", "y"]).map(|_| ()).expect_err("yy is unknown").to_string();
    assert!(shown.ends_with("\n  x + yy * 2\n      ^"), "{shown}");
}

#[test]
fn ten_thousand_levels_are_refused_or_computed() {
    let nested = format!("{}x{}", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(refusal(&nested).0, 257);
    assert!(refusal(&nested).1.starts_with("nested deeper than 256 levels"));
    assert!(refusal(&format!("{}x", "-".repeat(10_000))).1.starts_with("nested deeper than 256 levels"));
    assert!(refusal(&format!("{}x", "x^".repeat(10_000))).1.starts_with("nested deeper than 256 levels"));
    assert!(refusal(&format!("{}x", "sin(".repeat(10_000))).1.starts_with("nested deeper than 256 levels"));
    // What is long without being nested in the text is a deep graph, and is computed.
    let long = format!("x{}", " + sin(x) * y".repeat(10_000));
    assert!(value(&long, [0.5, 1.0]).is_finite());
    let graph = Graph::new();
    let x = graph.variable("x");
    let deep = (0..10_000).fold(x, |y, _| y.sin());
    let f = graph.function(&["x"], &[deep.backward().of(x)]).expect("a function");
    assert!(f.eval(&[0.5f32])[0].is_finite());
    assert!(f.wgsl("f").lines().count() > 1000);
}

#[test]
fn equal_parts_are_one_node_and_constants_are_folded() {
    let graph = Graph::new();
    let [x, y] = graph.variables(["x", "y"]);
    assert_eq!((x * y).id(), (y * x).id());
    assert_eq!((x + 2.0 * 3.0).id(), (6.0 + x).id());
    assert_ne!((x - y).id(), (y - x).id());
    let before = graph.len();
    let _ = (x * y).sin() + (y * x).sin();
    assert_eq!(graph.len(), before + 2);
}

/// Each identity, and what looks like one but is none, at all kinds of numbers: the same bits, or the same NaN.
#[test]
fn identities_are_exact() {
    let graph = Graph::new();
    let [x, y] = graph.variables(["x", "y"]);
    let same = [
        (x * 1.0, x),
        (1.0 * x, x),
        (x / 1.0, x),
        (x - 0.0, x),
        (x + -0.0, x),
        (-(-x), x),
        (x * -1.0, -x),
        (x / -1.0, -x),
        (x - (-y), x + y),
        (x + (-y), x - y),
        ((-x) + y, y - x),
        ((-x) * (-y), x * y),
        ((-x) * y, -(x * y)),
        (x / (-y), -(x / y)),
        (x.powi(1), x),
        ((-x).abs(), x.abs()),
        (x.abs().abs(), x.abs()),
        (x.min(x), x),
        (x.less(y).select(x, x), x),
        ((-x).powi(2), x.powi(2)),
    ];
    for (i, (a, b)) in same.iter().enumerate() {
        assert_eq!(a.id(), b.id(), "identity {i}");
    }
    for (i, (a, b)) in
        [(x + 0.0, x), (x * 0.0, graph.constant(0.0)), (x - x, graph.constant(0.0)), (x / x, graph.constant(1.0))]
            .iter()
            .enumerate()
    {
        assert_ne!(a.id(), b.id(), "{i} holds for some numbers only");
    }
    // The simplified and the verbatim graph give the same bits.
    let plain = Graph::verbatim();
    let numbers = [0.0f32, -0.0, 1.0, -1.5, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-40, 3e38];
    for text in [
        "x*1", "x/1", "x-0", "-(-x)", "x*-1", "x/-1", "x--y", "x+-y", "-x+y", "-x*-y", "-x*y", "x/-y", "x^1",
        "abs(-x)", "(-x)^2",
    ] {
        let simple = graph.parse(text, &["x", "y"]).expect("an expression");
        let verbatim = plain.parse(text, &["x", "y"]).expect("an expression");
        let simple = graph.function(&["x", "y"], &[simple]).expect("a function");
        let verbatim = plain.function(&["x", "y"], &[verbatim]).expect("a function");
        for x in numbers {
            for y in numbers {
                let (a, b) = (simple.eval(&[x, y])[0], verbatim.eval(&[x, y])[0]);
                assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "{text} at {x}, {y}: {a}, {b}");
            }
        }
    }
}

#[test]
fn a_graph_that_gives_no_number_is_refused() {
    let graph = Graph::new();
    let x = graph.variable("x");
    let refused = |y: Expr<'_>| graph.function(&["x"], &[y]).map(|_| ()).expect_err("refused").to_string();
    assert!(refused(x + graph.constant(1.0) / 0.0).contains("1 / 0 gives no finite number"));
    assert!(refused(x * 1e39).contains("not a finite 32-bit number"));
    assert!(refused(x + graph.variable("z")).contains("needs \"z\", which is not among its inputs x"));
}

#[test]
fn derivatives_at_kinks_are_those_of_pytorch() {
    let slope = |text: &str, x: f64, y: f64| {
        let graph = Graph::new();
        let z = graph.parse(text, &["x", "y"]).expect("an expression");
        let gradients = z.backward();
        let slopes = ["x", "y"].map(|name| gradients.of(graph.variable(name)));
        let values = graph.function(&["x", "y"], &slopes).expect("a function").eval(&[x, y]);
        (values[0], values[1])
    };
    assert_eq!(slope("abs(x)", 0.0, 0.0), (0.0, 0.0));
    assert_eq!(slope("relu(x)", 0.0, 0.0), (0.0, 0.0));
    assert_eq!(slope("min(x, y)", 2.0, 2.0), (0.5, 0.5));
    assert_eq!(slope("max(x, y)", 2.0, 2.0), (0.5, 0.5));
    assert_eq!(slope("max(x, y)", 2.0, 3.0), (0.0, 1.0));
    assert_eq!(slope("x^y", 0.0, 2.0), (0.0, 0.0));
    assert_eq!(slope("x^y", 0.0, 0.0), (0.0, 0.0));
    assert_eq!(slope("sqrt(x)", 0.0, 0.0).0, f64::INFINITY);
    // PyTorch gives NaN here.
    assert_eq!(slope("select(x > 0, log(x), 0)", 0.0, 0.0), (0.0, 0.0));
    assert_eq!(slope("select(x > 0, sqrt(x), y * y)", 0.0, 3.0), (0.0, 6.0));
}

#[test]
fn case_e_of_the_worked_cases() {
    let graph = Graph::new();
    let names = ["apples", "apple", "oranges", "orange", "tax"];
    let price = graph.parse("(apples * apple + oranges * orange) * tax", &names).expect("an expression");
    let gradients = price.backward();
    let mut outputs = vec![price];
    outputs.extend(names.map(|name| gradients.of(graph.variable(name))));
    let f = graph.function(&names, &outputs).expect("a function");
    let found = f.eval(&[2.0, 100.0, 3.0, 150.0, 1.1]);
    let expected = [715.0, 110.0, 2.2, 165.0, 3.3, 650.0];
    assert!(found.iter().zip(expected).all(|(a, b): (&f64, f64)| (a - b).abs() < 1e-12 * b), "{found:?}");
}

/// What arrives at each node of a text as it stands, its numbers included, and what flows on each edge.
#[test]
fn a_trace_shows_what_flows_forward_and_back() {
    let trace = |text: &str, values: &[(&str, f64)]| {
        let graph = Graph::verbatim();
        graph.parse_any(text).and_then(|(_, result)| result.trace(values)).expect("a trace")
    };
    let found = trace("two = 2*100*1.1", &[]);
    let nodes: Vec<_> = found.nodes.iter().map(|node| (node.name(), node.value, node.gradient)).collect();
    let expected =
        [("2", 2.0, 100.0 * 1.1), ("100", 100.0, 2.2), ("*", 200.0, 1.1), ("1.1", 1.1, 200.0), ("two", 220.0, 1.0)];
    assert!(
        nodes.iter().zip(expected).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-9 && (a.2 - b.2).abs() < 1e-9),
        "{nodes:?}"
    );
    // The square stays one node, and both paths of x are told apart.
    let found = trace("(x + y)^2 + x", &[("x", 10.0), ("y", 5.0)]);
    let edges: Vec<_> =
        found.edges.iter().map(|edge| [edge.from as f64, edge.to as f64, edge.value, edge.gradient]).collect();
    let expected = [
        [0.0, 2.0, 10.0, 30.0],
        [1.0, 2.0, 5.0, 30.0],
        [2.0, 3.0, 15.0, 30.0],
        [3.0, 4.0, 225.0, 1.0],
        [0.0, 4.0, 10.0, 1.0],
    ];
    assert_eq!(edges, expected);
    assert_eq!((found.nodes[0].gradient, found.nodes[3].symbol()), (31.0, "^2".to_owned()));
    // What a selection masks stays 0 here too.
    let found = trace("select(x > 0, log(x), 0)", &[("x", 0.0)]);
    let gradients: Vec<f64> = found.nodes.iter().map(|node| node.gradient).collect();
    assert_eq!(gradients, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    let shared = Graph::new();
    let x = shared.variable("x");
    assert_eq!((x * x).trace(&[("x", 3.0)]).expect("a trace").nodes[0].gradient, 6.0);
}

#[test]
fn wgsl_is_readable() {
    assert_eq!(wgsl("x^2 + y"), "fn f(x: f32, y: f32) -> f32 {\n  return x * x + y;\n}\n");
    assert_eq!(
        wgsl("d = x - y; select(abs(d) < 1, 0.5 * d^2, abs(d) - 0.5)"),
        "fn f(x: f32, y: f32) -> f32 {\n  let t0 = x - y;\n  let t1 = abs(t0);\n  \
         return select(t1 - 0.5, 0.5 * (t0 * t0), t1 < 1.0);\n}\n"
    );
    assert_eq!(
        wgsl("max(x, -3.4028235e38)"),
        "fn f(x: f32, y: f32) -> f32 {\n  return larger(x, -0x1.fffffep+127);\n}\n"
    );
    assert_eq!(wgsl("x - (y - 1)"), "fn f(x: f32, y: f32) -> f32 {\n  return x - (y - 1.0);\n}\n");
    assert_eq!(wgsl("x / (y * 2)"), "fn f(x: f32, y: f32) -> f32 {\n  return x / (y * 2.0);\n}\n");
    assert_eq!(wgsl("x^-3"), "fn f(x: f32, y: f32) -> f32 {\n  let t0 = x * x;\n  return 1.0 / (x * t0);\n}\n");
}

#[test]
fn columns_are_computed_like_single_numbers() {
    let graph = Graph::new();
    let text = "select(x < y, tanh(x * y), x^3 / (1 + y^2)) + min(x, erf(y)) - softplus(x)^0.5";
    let z = graph.parse(text, &["x", "y"]).expect("an expression");
    let f = graph.function(&["x", "y"], &[z, z.backward().of(graph.variable("x"))]).expect("a function");
    let x: Vec<f32> = (0..300).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
    let y: Vec<f32> = (0..300).map(|i| (i as f32 * 0.3).cos() * 3.0).collect();
    let (mut z, mut slope) = (vec![0.0; 300], vec![0.0; 300]);
    f.eval_columns(&[&x, &y], &mut [&mut z, &mut slope], &mut Vec::new()).expect("columns fit");
    for i in 0..300 {
        assert_eq!(f.eval(&[x[i], y[i]]), [z[i], slope[i]], "row {i}");
    }
    let short = f.eval_columns(&[&x[..5], &y], &mut [&mut z, &mut slope], &mut Vec::new());
    assert!(short.is_err_and(|error| error.to_string().contains("expected 300, found 5")));
}
