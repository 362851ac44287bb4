//! Equations in configurations: trained on columns by name, kept in the model, evaluated and predicted by it.

use crate::support::Folder;

const POINTS: usize = 40;

fn folder() -> Folder {
    let folder = Folder::new();
    let mut csv = "inside,t,start\n".to_owned();
    for i in 0..POINTS {
        csv += &format!("1,{},0\n", 2.0 * i as f64 / POINTS as f64);
    }
    folder.write("points.csv", csv + "0,0,20\n");
    folder.write("decay.toml", toml("u_t + u", "t"));
    folder
}

fn toml(residual: &str, input: &str) -> String {
    format!(
        r#"
[data]
source = "points.csv"
test = 0.0
validation = 0.0
[network]
hidden = [16]
[training]
epochs = 400
batch = 41
learning_rate = 0.02
loss = {{ equation = "inside * ({residual})^2 + start * (u - 1)^2", inputs = ["{input}"], outputs = ["u"], data = ["inside", "start"] }}
[output]
model = "decay.safetensors"
"#
    )
}

#[test]
fn an_equation_is_trained_from_a_configuration() {
    let folder = folder();
    let trained = folder.wgrad("train decay.toml --json").json();
    assert!(trained["final_loss"].as_f64().unwrap() < 1e-3, "{trained}");
    let evaluated = folder.wgrad("evaluate decay.safetensors points.csv --json").json();
    assert!(evaluated["loss"].as_f64().unwrap() < 1e-3, "{evaluated}");
    assert_eq!(evaluated.get("r_squared"), None);

    folder.write("one.csv", "t\n0\n1\n");
    assert_eq!(folder.wgrad("predict decay.safetensors one.csv --out u.csv").code, 0);
    let found = String::from_utf8(folder.read("u.csv")).unwrap();
    let mut lines = found.lines();
    assert_eq!(lines.next(), Some("u"), "{found}");
    let numbers: Vec<f64> = lines.map(|line| line.parse().unwrap()).collect();
    assert!((numbers[0] - 1.0).abs() < 0.02 && (numbers[1] - (-1.0f64).exp()).abs() < 0.02, "{found}");

    let inspected = folder.wgrad("inspect decay.safetensors");
    assert!(inspected.stdout.contains("inside * (u_t + u)^2"), "{}", inspected.stdout);
    let more = folder.wgrad("train decay.toml --init decay.safetensors --epochs 1 --json").json();
    assert!(more["final_loss"].as_f64().unwrap() < 1e-3, "{more}");
}

#[test]
fn what_an_equation_lacks_is_said() {
    let folder = folder();
    folder.write("wrong.toml", toml("u_x + u", "t"));
    folder.wgrad("train wrong.toml").refused(2, &["unknown name \"u_x\""]);
    folder.write("wrong.toml", toml("u_x + u", "x"));
    folder.wgrad("train wrong.toml").refused(1, &["points.csv", "\"x\"", "inside, t, start"]);
    folder.wgrad("train decay.toml --activation relu").refused(2, &["need smooth activations, but layer 0 has relu"]);
    folder.wgrad("train decay.toml --scaling standard").refused(2, &["an equation names its columns"]);
    folder.wgrad("train decay.toml --planner fused").refused(2, &["use the planner layerwise"]);
    folder.write("wrong.toml", toml("u_t + u", "t").replace("outputs = [\"u\"]", "output = [\"u\"]"));
    folder.wgrad("train wrong.toml").refused(2, &["unknown field `output`"]);
    folder.write("wrong.toml", toml("u_t + u", "t").replace("equation =", "custom ="));
    folder.wgrad("train wrong.toml").refused(2, &["`equation` with `inputs`"]);
}

#[test]
fn an_equation_is_proven() {
    let folder = folder();
    let proven = folder.wgrad("check decay.toml --json").json();
    assert_eq!((&proven["passed"], &proven["failed"]), (&4.into(), &0.into()), "{proven}");
    let outcomes = proven["outcomes"].as_array().unwrap();
    assert!(outcomes.iter().all(|outcome| outcome["cases"].as_i64() > Some(0)), "{proven}");
    folder.wgrad("check decay.toml --activation relu").refused(2, &["need smooth activations, but layer 0 has relu"]);
}
