//! Models in the files of other programs: what those wrote gives the outputs that they gave, what is written is read again to the
//! bit, and broken files are refused. `tests/data/exchange/` holds the files, and the scripts that made them.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use wgrad::data::{Scaling, ScalingKind, Task};
use wgrad::exchange::{fold_scaling, npz, onnx, sequential, torch};
use wgrad::metrics::Probabilities;
use wgrad::{Activation, Bias, Device, Error, Layer, Loss, Matrix, Model, Network, Params, Predictor};

const TOLERANCE: f64 = 1e-5;

fn stored(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/exchange").join(name)
}

fn matrix(value: &Value) -> Matrix {
    let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).unwrap();
    Matrix::new(rows.len(), rows[0].len(), rows.concat()).unwrap()
}

/// What `predict` answers for unscaled inputs.
fn answers(model: &Model, inputs: &Matrix) -> Vec<f64> {
    let mut inputs = inputs.clone();
    if let Some(scaling) = &model.scaling {
        scaling.apply(&mut inputs).unwrap();
    }
    let mut predictor = Predictor::new(&Device::Cpu, &model.network, &model.values, inputs.rows).unwrap();
    let outputs = predictor.predict(&inputs).unwrap();
    (0..outputs.rows).flat_map(|i| model.probabilities().apply(outputs.row(i))).collect()
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let bound = TOLERANCE * expected.abs().max(1.0);
        assert!((found - expected).abs() <= bound, "{what}: {found}, expected {expected}");
    }
}

/// Checks that `model` gives what `name.json` says.
#[track_caller]
fn assert_gives(model: &Model, name: &str) -> Value {
    let case: Value = serde_json::from_slice(&fs::read(stored(&format!("{name}.json"))).unwrap()).unwrap();
    let expected: Vec<f64> = matrix(&case["outputs"]).data.into_iter().map(f64::from).collect();
    assert_near(&answers(model, &matrix(&case["inputs"])), &expected, name);
    // The check can fail.
    let mut other = model.clone();
    let last = other.params().tensors.last().unwrap().range();
    other.values[last].iter_mut().enumerate().for_each(|(i, value)| *value += 0.01 * i as f32 + 0.01);
    let found = answers(&other, &matrix(&case["inputs"]));
    assert!(
        found.iter().zip(&expected).any(|(a, b)| (a - b).abs() > TOLERANCE),
        "{name} does not depend on its weights"
    );
    case
}

fn activations(model: &Model) -> Vec<String> {
    model.network.layers.iter().map(|layer| layer.activation.to_string()).collect()
}

#[test]
fn graphs_of_other_programs_give_their_outputs() {
    for name in ["matmul", "activations", "others", "classifier", "gemm", "pipeline", "functions", "external"] {
        let model = onnx::import(&stored(&format!("{name}.onnx"))).unwrap_or_else(|e| panic!("{e}"));
        assert_gives(&model, name);
    }
}

#[test]
fn registered_activations_are_recognised() {
    let model = onnx::import(&stored("activations.onnx")).unwrap();
    let names = ["linear", "relu", "sigmoid", "tanh", "leaky_relu", "softplus", "silu", "gelu", "elu", "sine"];
    // Two linear layers in a row come first.
    let found = activations(&model);
    assert_eq!(found[..1], names[..1]);
    assert_eq!(found[1..10], names[1..]);
    let model = onnx::import(&stored("others.onnx")).unwrap();
    assert_eq!(activations(&model)[1], "select((0 < x), x, (x * 0.3))");
    let model = onnx::import(&stored("gemm.onnx")).unwrap();
    assert_eq!(activations(&model), ["relu", "tanh", "gelu", "linear"]);
    let biases: Vec<_> = model.network.layers.iter().map(|layer| layer.bias).collect();
    assert_eq!(biases, [Bias::PerUnit, Bias::Shared, Bias::None, Bias::PerUnit]);
}

#[test]
fn scalings_and_softmax_are_taken_along() {
    let model = onnx::import(&stored("classifier.onnx")).unwrap();
    let scaling = model.scaling.as_ref().unwrap();
    assert_eq!((&scaling.shift[..], &scaling.scale[..]), (&[1.0, -2.0, 0.5][..], &[0.5, 1.0 / 3.0, 4.0][..]));
    assert_eq!((model.loss, model.probabilities()), (Some(Loss::SoftmaxCrossEntropy), Probabilities::Softmax));
    let classes = ["0", "1", "2", "3"].map(String::from).to_vec();
    assert_eq!(model.task, Some(Task::classes(classes)));
}

#[test]
fn state_dicts_give_their_outputs() {
    for name in ["ordered", "plain", "lightning", "strided", "f64", "f16", "bf16"] {
        let kinds = [Activation::Tanh, Activation::Relu, Activation::Linear];
        let model = torch::import(&stored(&format!("{name}.pt")), &kinds).unwrap_or_else(|e| panic!("{e}"));
        let case = assert_gives(&model, name);
        assert_eq!(json!(activations(&model)), case["activations"]);
    }
}

fn values(network: &Network, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let params = Params::of(network);
    let mut values = vec![0.0; params.len];
    for tensor in &params.tensors {
        values[tensor.range()].fill_with(|| rng.random_range(-1.0..1.0));
    }
    values
}

/// Every activation, every bias mode, one of one's own, and everything that a model says about itself.
fn models() -> Vec<Model> {
    let mut all = Vec::new();
    let custom = [
        "mish = x * tanh(softplus(x))",
        "select(x != 0.5, x^3 + min(x, 2)^2 / (1 + exp(x)), max(x, -1) - erf(x)) * sqrt(abs(cos(x)) + 1)",
        "select(x <= 1, relu(-x), log(1 + x^2)) + sigmoid(x)^1.5 + sin(x)",
    ];
    let custom = custom.map(|text| Activation::custom(text).unwrap());
    for (i, &activation) in Activation::ALL.iter().chain(&custom).enumerate() {
        for (j, &bias) in Bias::ALL.iter().enumerate() {
            let network = Network::new(3).dense(4, activation).layer(Layer::new(5, activation)).with_bias(bias);
            let last = if (i + j) % 4 == 2 { Activation::Sigmoid } else { Activation::Linear };
            let mut network = network.layer(Layer { freeze_weight: i == 1, ..Layer::new(2, last) });
            network.layers[0].freeze_bias = j == 1;
            let classes = Some(Task::classes(["yes", "n\"o"]));
            let numbers = Some(Task::Regression { outputs: vec!["u".into(), "v".into()] });
            let (task, loss) = match (i + j) % 4 {
                0 => (classes, Some(Loss::SoftmaxCrossEntropy)),
                1 => (classes, Some(Loss::BinaryCrossEntropy)),
                2 => (classes, Some(Loss::LogisticCrossEntropy)),
                _ => (numbers, Some(Loss::MeanSquaredError)),
            };
            let kind = if j == 0 { ScalingKind::Standard } else { ScalingKind::MinMax };
            let scaling = Scaling { kind, shift: vec![0.1, -20.0, 1e-7], scale: vec![3.0, 1.0 / 3.0, 1.0] };
            let values = values(&network, i as u64);
            let scaling = [Some(scaling), None, Some(Scaling::none(3))][j].clone();
            let features = vec!["a".into(), "b, c".into(), "".into()];
            let training = Some(json!({ "epochs": i }));
            all.push(Model { task, loss, scaling, features, training, ..Model::new(network, values).unwrap() });
        }
    }
    all
}

/// Of the size that the models' scaling is for.
fn inputs() -> Matrix {
    Matrix::new(3, 3, vec![0.5, -19.0, 0.25, 0.1, -22.0, -1.0, -0.7, -20.5, 0.75]).unwrap()
}

#[track_caller]
fn assert_same(found: &Model, expected: &Model) {
    assert_eq!(found, expected);
    let bits = |model: &Model| model.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(found), bits(expected));
}

#[test]
fn what_is_exported_is_imported_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for model in models() {
        onnx::export(&model, &at("m.onnx")).unwrap();
        assert_same(&onnx::import(&at("m.onnx")).unwrap(), &model);
        npz::export(&model, &at("m.npz")).unwrap();
        assert_same(&npz::import(&at("m.npz"), None).unwrap(), &model);
        sequential::export(&model, &at("m.safetensors")).unwrap();
        let again = Model::load(&at("m.safetensors")).unwrap();
        match model.network.layers[0].bias {
            Bias::Shared => {
                let inputs = inputs();
                assert_near(&answers(&again, &inputs), &answers(&model, &inputs), "shared biases");
            }
            _ => assert_same(&again, &model),
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "a temporary file was left");
}

/// Without the description that is beside it, the graph says the same function.
#[test]
fn graphs_stand_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("m.onnx");
    for model in models() {
        onnx::export(&model, &at).unwrap();
        let bytes = fs::read(&at).unwrap();
        let described = b"{\"format\":1";
        let place = bytes.windows(described.len()).position(|window| window == described).unwrap();
        let mut bytes = bytes;
        bytes[place] = b'-';
        fs::write(&at, bytes).unwrap();
        let found = onnx::import(&at).unwrap();
        assert_eq!(found.features, [""; 0]);
        assert_eq!(found.values.len(), model.values.len());
        let inputs = inputs();
        assert_near(
            &answers(&found, &inputs),
            &answers(&model, &inputs),
            &model.network.layers[0].activation.to_string(),
        );
    }
}

#[test]
fn a_folded_scaling_gives_the_same_answers() {
    for model in models() {
        let folded = fold_scaling(&model).unwrap();
        assert_eq!(folded.scaling, None);
        let inputs = inputs();
        assert_near(&answers(&folded, &inputs), &answers(&model, &inputs), &model.network.to_string());
    }
}

#[test]
fn pytorch_is_told_what_to_build() {
    let network = Network::new(3)
        .dense(4, Activation::Relu)
        .dense(5, Activation::Linear)
        .layer(Layer { bias: Bias::None, ..Layer::new(2, Activation::Gelu) });
    let text = "nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.Linear(5, 2, bias=False), nn.GELU())";
    assert_eq!(sequential::constructor(&network), text);
}

/// The fields of a message: numbers, and the bytes of anything else.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        match key & 7 {
            0 => all.push((key >> 3, varint(&mut bytes), &[][..])),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (taken, rest) = bytes.split_at(length);
                all.push((key >> 3, 0, taken));
                bytes = rest;
            }
            5 => {
                let (taken, rest) = bytes.split_at(4);
                all.push((key >> 3, 0, taken));
                bytes = rest;
            }
            other => panic!("wire type {other}"),
        }
    }
    all
}

fn nested(bytes: &[u8], field: u64) -> Vec<&[u8]> {
    fields(bytes).into_iter().filter(|(found, ..)| *found == field).map(|(.., bytes)| bytes).collect()
}

fn text(bytes: &[u8], field: u64) -> String {
    String::from_utf8(nested(bytes, field)[0].to_vec()).unwrap()
}

/// What the bytes say to a reader that knows the schema alone: `onnx.proto`, read by hand.
#[test]
fn the_bytes_of_a_graph_are_those_of_the_schema() {
    let network = Network::new(2).dense(3, Activation::LeakyRelu).dense(2, Activation::Linear);
    let model = Model {
        task: Some(Task::classes(["a", "b"])),
        loss: Some(Loss::SoftmaxCrossEntropy),
        scaling: Some(Scaling { kind: ScalingKind::Standard, shift: vec![1.0, 2.0], scale: vec![0.5, 4.0] }),
        ..Model::new(network.clone(), values(&network, 0)).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    onnx::export(&model, &folder.path().join("m.onnx")).unwrap();
    let bytes = fs::read(folder.path().join("m.onnx")).unwrap();
    assert_eq!(fields(&bytes)[0], (1, 7, &[][..]));
    assert_eq!(text(&bytes, 2), "wgrad");
    let versions: Vec<_> =
        nested(&bytes, 8).into_iter().flat_map(fields).map(|(field, value, _)| (field, value)).collect();
    assert_eq!(versions, [(2, 13)]);
    let metadata: Vec<_> = nested(&bytes, 14).into_iter().map(|entry| text(entry, 1)).collect();
    assert_eq!(metadata, ["wgrad", "classes"]);
    let graph = nested(&bytes, 7)[0];
    let nodes: Vec<_> = nested(graph, 1).into_iter().map(|node| text(node, 4)).collect();
    assert_eq!(nodes, ["Sub", "Mul", "Gemm", "LeakyRelu", "Gemm", "Softmax"]);
    let alpha = nested(nested(nested(graph, 1)[3], 5)[0], 2)[0];
    assert_eq!(alpha, 0.01f32.to_le_bytes());
    let names = |field| nested(graph, field).into_iter().map(|value| text(value, 1)).collect::<Vec<_>>();
    assert_eq!((names(11), names(12)), (vec!["inputs".to_owned()], vec!["probabilities".to_owned()]));
    let dims = nested(nested(nested(nested(graph, 11)[0], 2)[0], 1)[0], 2)[0];
    let dims: Vec<_> = nested(dims, 1).into_iter().map(|dim| fields(dim)[0]).collect();
    assert_eq!(dims, [(2, 0, &b"batch"[..]), (1, 2, &[][..])]);
    let weight = nested(graph, 5).into_iter().find(|tensor| text(tensor, 8) == "layers.0.weight").unwrap();
    let expected: Vec<u8> = model.tensor("layers.0.weight").unwrap().iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(nested(weight, 9)[0], expected);
    assert_eq!(nested(weight, 1)[0], [3, 2]);
}

#[track_caller]
fn assert_refused(result: wgrad::Result<Model>, words: &[&str]) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Model { .. }), "{error:?}");
    assert!(text.chars().count() < 1300, "{} characters", text.len());
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

#[test]
fn broken_graphs_are_refused() {
    let cases: [(&str, &[&str]); 14] = [
        ("missing", &["\"y\" (operator Gemm)", "\"b\"", "neither made by a node nor an initializer"]),
        ("dtype", &["\"w\"", "numbers of type 6", "expected float"]),
        ("infinite", &["\"w\"", "finite", "inf at 4"]),
        ("operator", &["\"memory\" (operator LSTM)", "not supported", "supported are Abs, Add", "Gemm", "Where"]),
        ("convolution", &["\"filter\" (operator Conv)", "supported are"]),
        ("cycle", &["\"first\" (operator Add)", "cyclic or not in order"]),
        ("order", &["operator Relu", "\"a\"", "cyclic or not in order"]),
        ("widths", &["takes 3 inputs", "2 outputs"]),
        ("bias", &["the bias \"b\" should have shape [2] or [1], found [3]"]),
        ("residual", &["operator Add", "joins two layers"]),
        ("huge", &["\"w\" of shape [1099511627776, 1048576]", "found 6"]),
        ("shared", &["\"a17\" (operator MatMul)", "shares its weight \"w\" with more layers"]),
        ("short", &["\"w\"", "23 bytes"]),
        ("outside", &["beside the model", "../exchange/external.bin"]),
    ];
    for (name, words) in cases {
        assert_refused(onnx::import(&stored(&format!("bad_{name}.onnx"))), words);
    }
}

#[test]
fn broken_state_dicts_are_refused() {
    let kinds = [Activation::Relu];
    assert_refused(torch::import(&stored("int32.pt"), &kinds), &["IntStorage", "expected tensors of float32"]);
    assert_refused(torch::import(&stored("legacy.pt"), &kinds), &["torch.save writes since PyTorch 1.6"]);
    let module = ["torch.nn.modules.container.Sequential", "nothing in a file is ever run", "model.state_dict()"];
    assert_refused(torch::import(&stored("module.pt"), &kinds), &module);
    assert_refused(torch::import(&stored("ordered.pt"), &kinds), &["3 weight matrices, found 1"]);
    assert_refused(torch::import(&stored("matmul.onnx"), &kinds), &["this is not a file that torch.save writes"]);
}

type Import = fn(&Path) -> wgrad::Result<Model>;

/// Every file with its reader.
fn readers() -> Vec<(Vec<u8>, &'static str, Import)> {
    let state: Import = |path| torch::import(path, &[Activation::Tanh, Activation::Relu, Activation::Linear]);
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("m.npz");
    npz::export(&models()[0], &at).unwrap();
    vec![
        (fs::read(stored("classifier.onnx")).unwrap(), "m.onnx", onnx::import),
        (fs::read(stored("gemm.onnx")).unwrap(), "m.onnx", onnx::import),
        (fs::read(stored("strided.pt")).unwrap(), "m.pt", state),
        (fs::read(&at).unwrap(), "m.npz", |path| npz::import(path, None)),
    ]
}

#[test]
fn cut_and_empty_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (bytes, name, read) in readers() {
        let at = folder.path().join(name);
        for length in (0..bytes.len()).step_by(7) {
            fs::write(&at, &bytes[..length]).unwrap();
            let result =
                catch_unwind(AssertUnwindSafe(|| read(&at))).unwrap_or_else(|_| panic!("{name}: {length} bytes"));
            assert!(result.is_err(), "{name} cut to {length} bytes was read");
        }
        assert!(matches!(read(folder.path()), Err(Error::Model { .. })), "a folder");
        assert!(matches!(read(&folder.path().join("none")), Err(Error::Model { .. } | Error::Io { .. })), "no file");
    }
}

/// Whatever a byte is changed to, the file is read or refused.
#[test]
fn changed_files_cause_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for (original, name, read) in readers() {
        let at = folder.path().join(name);
        for _ in 0..400 {
            let mut bytes = original.clone();
            for _ in 0..rng.random_range(1..4) {
                let place = rng.random_range(0..bytes.len());
                bytes[place] = rng.random();
            }
            fs::write(&at, &bytes).unwrap();
            let result = catch_unwind(AssertUnwindSafe(|| read(&at).map(|model| model.values.len())));
            assert!(matches!(result, Ok(Ok(0..10_000) | Err(_))), "{name}: {result:?}");
        }
    }
}
