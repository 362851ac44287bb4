//! Model files: what is saved is what is loaded, and a broken file gives an error that says what is broken.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wgrad::checkpoint::save_tensors;
use wgrad::data::{Encoding, InputColumn, InputKind, Scaling, ScalingKind, Task, Unknown};
use wgrad::loss::Reduction;
use wgrad::{Activation, Bias, Error, Layer, Loss, Model, Network, Params};

/// A file in a folder that goes away with it.
struct Place {
    folder: TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    Place { folder, path }
}

/// Values without padding numbers, so that a loaded model can equal the saved one.
fn values(network: &Network) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let params = Params::of(network);
    let mut values = vec![0.0; params.len];
    for tensor in &params.tensors {
        values[tensor.range()].fill_with(|| rng.random_range(-2.0..2.0));
    }
    values
}

/// 2-3-4-2 with every bias mode and every optional part.
fn model() -> Model {
    let network = Network::new(2)
        .dense(3, Activation::Tanh)
        .layer(Layer { bias: Bias::Shared, freeze_weight: true, ..Layer::new(4, Activation::Silu) })
        .layer(Layer { bias: Bias::None, ..Layer::new(2, Activation::Linear) });
    let values = values(&network);
    Model {
        task: Some(Task::classes(["yes", "nö \"\u{1f980}\""])),
        features: vec!["length, cm".into(), "".into()],
        scaling: Some(Scaling { kind: ScalingKind::Standard, shift: vec![0.1, -1e-30], scale: vec![3.0, 1.0 / 3.0] }),
        loss: Some(Loss::SoftmaxCrossEntropy),
        training: Some(json!({"epochs": 12, "seed": u64::MAX, "optimizer": {"adam": [0.5, true, null]}})),
        ..Model::new(network, values).unwrap()
    }
}

fn saved(model: &Model) -> Vec<u8> {
    let at = place();
    model.save(&at.path).unwrap();
    std::fs::read(&at.path).unwrap()
}

/// The file with this header and these bytes for the tensors.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// The valid file with its header changed by `edit`.
fn with_header(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let bytes = saved(&model());
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header = serde_json::from_slice(&bytes[8..end]).unwrap();
    edit(&mut header);
    file(&header.to_string(), &bytes[end..])
}

/// The valid file with its description changed by `edit`.
fn with_description(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    with_header(|header| {
        let text = &mut header["__metadata__"]["wgrad"];
        let mut description = serde_json::from_str(text.as_str().unwrap()).unwrap();
        edit(&mut description);
        *text = description.to_string().into();
    })
}

/// The description in a file.
fn describe(bytes: &[u8]) -> Value {
    let (_, metadata) = safetensors::SafeTensors::read_metadata(bytes).unwrap();
    serde_json::from_str(&metadata.metadata().as_ref().unwrap()["wgrad"]).unwrap()
}

/// A file without description that holds tensors of these names, types, shapes and bytes.
fn plain(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
    let (mut header, mut data) = (json!({"__metadata__": {"format": "pt"}}), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let begin = data.len();
        data.extend(bytes);
        header[*name] = json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, data.len()]});
    }
    file(&header.to_string(), &data)
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn f64s(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn load(bytes: &[u8]) -> wgrad::Result<Model> {
    let at = place();
    std::fs::write(&at.path, bytes).unwrap();
    Model::load(&at.path)
}

fn load_as(bytes: &[u8], activations: &[Activation]) -> wgrad::Result<Model> {
    let at = place();
    std::fs::write(&at.path, bytes).unwrap();
    Model::load_with_activations(&at.path, activations)
}

/// Checks that the error is about the model file and has all of `words`.
#[track_caller]
fn assert_refused(result: wgrad::Result<Model>, words: &[&str]) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Model { .. }), "{error:?}");
    assert!(text.contains("model.safetensors: "), "{text}");
    assert!(text.chars().count() < 1200, "{} characters", text.len());
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

#[test]
fn what_is_saved_is_loaded() {
    let at = place();
    let model = model();
    model.save(&at.path).unwrap();
    let loaded = Model::load(&at.path).unwrap();
    assert_eq!(loaded, model);
    let bits = |model: &Model| model.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&loaded), bits(&model));
    assert_eq!(std::fs::read_dir(at.folder.path()).unwrap().count(), 1, "a temporary file was left");

    let bare = Model::new(model.network.clone(), model.values.clone()).unwrap();
    bare.save(&at.path).unwrap();
    assert_eq!(Model::load(&at.path).unwrap(), bare);
}

#[test]
fn extreme_numbers_survive() {
    let mut model = model();
    let extremes = [f32::MAX, f32::MIN_POSITIVE, -0.0, 1e-45, f32::MIN, 1.0 + f32::EPSILON];
    model.values[..6].copy_from_slice(&extremes);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..200 {
        let mut finite = || loop {
            let number = f32::from_bits(rng.next_u32());
            if number.is_finite() {
                return number;
            }
        };
        let (shift, scale) = (vec![finite(), finite()], vec![finite(), finite()]);
        model.scaling = Some(Scaling { kind: ScalingKind::MinMax, shift, scale });
        let loaded = load(&saved(&model)).unwrap();
        assert_eq!(loaded, model);
        assert!(loaded.values[2].is_sign_negative());
    }
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let model = model();
    assert_eq!(saved(&model), saved(&model));
    assert_eq!(saved(&model), saved(&load(&saved(&model)).unwrap()));
}

#[test]
fn tensors_are_found_by_name() {
    let model = model();
    assert_eq!(model.tensor("layers.0.weight"), Some(&model.values[..6]));
    assert_eq!(model.tensor("layers.1.bias").map(<[f32]>::len), Some(1));
    assert_eq!(model.tensor("layers.2.bias"), None);
    assert_eq!(model.params(), Params::of(&model.network));
}

#[test]
fn other_programs_can_read_the_file() {
    let model = model();
    let bytes = saved(&model);
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, shape) in [("layers.0.weight", &[3, 2][..]), ("layers.0.bias", &[3]), ("layers.1.bias", &[1])] {
        let tensor = file.tensor(name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (safetensors::Dtype::F32, shape));
        assert_eq!(tensor.data(), f32s(model.tensor(name).unwrap()));
        assert_eq!(tensor.data().as_ptr() as usize % 4, bytes.as_ptr() as usize % 4, "aligned in the file");
    }
    assert_eq!(file.len(), 5);
}

#[test]
fn a_model_that_does_not_hold_together_is_not_saved() {
    let at = place();
    let save = |edit: fn(&mut Model)| {
        let mut model = model();
        edit(&mut model);
        model.save(&at.path).map(|()| model)
    };
    assert_refused(save(|m| m.values[3] = f32::NAN), &["layers.0.weight[1, 1] is NaN", "not written"]);
    assert_refused(save(|m| m.values[64 + 2] = f32::INFINITY), &["layers.0.bias[2] is inf"]);
    assert_refused(save(|m| m.values.truncate(9)), &["2-3-4-2", "expected 320, found 9"]);
    assert_refused(save(|m| m.features.truncate(1)), &["input columns", "expected 2, found 1"]);
    assert_refused(
        save(|m| m.scaling = Some(Scaling { scale: vec![1.0, f32::NAN], ..Scaling::none(2) })),
        &["scaling of input 1", "NaN"],
    );
    let deep = |m: &mut Model| m.training = Some((0..200).fold(Value::Null, |inner, _| json!([inner])));
    assert_refused(save(deep), &["not written", "recursion limit"]);
    assert!(!at.path.exists());
}

#[test]
fn a_new_model_is_checked() {
    let text = |network, values| Model::new(network, values).unwrap_err().to_string();
    let network = Network::new(2).dense(3, Activation::Relu);
    assert_eq!(text(network.clone(), vec![0.0; 9]), "values in the arena of the network 2-3: expected 128, found 9");
    assert!(text(Network::new(2), Vec::new()).contains("at least one layer"));
    assert!(text(network.dense(0, Activation::Relu), Vec::new()).contains("layer 1 has width 0"));
    for (inputs, outputs) in [(usize::MAX, 1), (1 << 40, 1 << 40), (1 << 31, 1 << 30), (1, usize::MAX)] {
        let text = text(Network::new(inputs).dense(outputs, Activation::Relu), Vec::new());
        assert!(text.contains("more parameters than memory can ever hold"), "{text}");
    }
}

#[test]
fn a_missing_file() {
    let error = Model::load(Path::new("/no/such/model.safetensors")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }));
    assert!(error.to_string().starts_with("cannot read /no/such/model.safetensors: "), "{error}");
}

#[test]
fn a_directory() {
    let at = place();
    std::fs::create_dir(&at.path).unwrap();
    assert_refused(Model::load(&at.path), &["not a regular file"]);
}

#[test]
fn an_empty_file() {
    assert_refused(load(b""), &["empty", "at least the 8 bytes"]);
}

#[test]
fn a_file_shorter_than_its_length_field() {
    assert_refused(load(b"\x08\0\0\0\0\0\0"), &["has 7 bytes", "at least the 8 bytes"]);
}

#[test]
fn a_header_longer_than_the_file() {
    for len in [u64::MAX, u64::MAX - 7, 1 << 32, 3] {
        let bytes = [&len.to_le_bytes()[..], b"{}"].concat();
        assert_refused(load(&bytes), &[&format!("a header of {len} bytes"), "only 2 bytes follow"]);
    }
}

#[test]
fn a_header_that_is_too_long_to_be_meant() {
    let at = place();
    std::fs::write(&at.path, (1u64 << 32).to_le_bytes()).unwrap();
    let file = std::fs::File::options().write(true).open(&at.path).unwrap();
    file.set_len((1 << 32) + 8).unwrap();
    assert_refused(Model::load(&at.path), &["header has 4294967296 bytes", "at most 16777216"]);
}

#[test]
fn a_header_that_is_not_json() {
    for header in ["", "PK\u{3}\u{4} something", "{\"a\":", &format!("{{\"a\":{}", "[".repeat(100_000))] {
        assert_refused(load(&file(header, b"")), &["not JSON", "not a safetensors file"]);
    }
    assert_refused(load(&[&2u64.to_le_bytes()[..], b"\xff\xff"].concat()), &["not JSON"]);
}

#[test]
fn a_header_of_another_kind() {
    for header in ["[]", "3", "{\"a\":3}", "{\"a\":{\"dtype\":\"F32\"}}", "{\"__metadata__\":{\"wgrad\":3}}"] {
        assert_refused(load(&file(header, b"")), &["its header is not that of a safetensors file"]);
    }
    let unknown = with_header(|h| h["layers.0.weight"]["dtype"] = "F31".into());
    assert_refused(load(&unknown), &["its header is not that of a safetensors file", "F31"]);
}

#[test]
fn truncated_data() {
    let bytes = saved(&model());
    assert_refused(load(&bytes[..bytes.len() - 4]), &["truncated", "should take 120 bytes, found 116"]);
}

#[test]
fn data_after_the_end() {
    let bytes = [&saved(&model())[..], &[0; 3]].concat();
    assert_refused(load(&bytes), &["damaged", "should take 120 bytes, found 123"]);
}

#[test]
fn offsets_out_of_range() {
    let beyond = with_header(|h| h["layers.2.weight"]["data_offsets"] = json!([1u64 << 40, (1u64 << 40) + 32]));
    assert_refused(load(&beyond), &["one after the other", "layers.2.weight"]);
    let backwards = with_header(|h| h["layers.0.weight"]["data_offsets"] = json!([24, 0]));
    assert_refused(load(&backwards), &["one after the other"]);
    let negative = with_header(|h| h["layers.0.weight"]["data_offsets"] = json!([-24, 0]));
    assert_refused(load(&negative), &["one after the other"]);
}

#[test]
fn overlapping_offsets() {
    let bytes = with_header(|h| h["layers.0.bias"]["data_offsets"] = json!([20, 32]));
    assert_refused(load(&bytes), &["one after the other", "layers.0.bias"]);
}

#[test]
fn offsets_that_overflow_when_added() {
    let size = u64::MAX / 8;
    let mut header = json!({});
    for i in 0..8 {
        let offsets = [i * size, (i + 1) * size];
        header[format!("{i}.weight")] = json!({"dtype": "U8", "shape": [size], "data_offsets": offsets});
    }
    assert_refused(load(&file(&header.to_string(), b"")), &["truncated"]);
}

#[test]
fn a_shape_that_overflows() {
    let bytes = with_header(|h| h["layers.0.weight"]["shape"] = json!([u64::MAX, u64::MAX]));
    assert_refused(load(&bytes), &["overflow"]);
}

#[test]
fn a_shape_other_than_the_length() {
    let bytes = with_header(|h| h["layers.0.weight"]["shape"] = json!([3, 3]));
    assert_refused(load(&bytes), &["as long as its shape and type demand"]);
}

#[test]
fn a_wrong_shape() {
    let bytes = with_header(|h| h["layers.0.weight"]["shape"] = json!([2, 3]));
    assert_refused(load(&bytes), &["\"layers.0.weight\"", "should have shape [3, 2], found [2, 3]"]);
}

#[test]
fn integers_for_weights() {
    let bytes = with_header(|h| h["layers.0.weight"]["dtype"] = "I32".into());
    assert_refused(load(&bytes), &["\"layers.0.weight\"", "F32, F64, F16 or BF16, found I32"]);
}

#[test]
fn a_missing_tensor() {
    let network = Network::new(2).dense(1, Activation::Linear);
    let bytes = saved(&Model::new(network.clone(), values(&network)).unwrap());
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..end]).unwrap();
    let bias = header.as_object_mut().unwrap().remove("layers.0.bias").unwrap();
    let without = file(&header.to_string(), &bytes[end..bytes.len() - 4]);
    assert_refused(load(&without), &["\"layers.0.bias\" of shape [1] is missing"]);

    header["layers.0.bais"] = bias;
    let misspelt = file(&header.to_string(), &bytes[end..]);
    assert_refused(load(&misspelt), &["\"layers.0.bias\" of shape [1] is missing", "is \"layers.0.bais\" meant?"]);
}

#[test]
fn an_extra_tensor() {
    let extra =
        |name: &str| with_header(|h| h[name] = json!({"dtype": "F32", "shape": [0], "data_offsets": [120, 120]}));
    let words = ["\"layers.0.wieght\" belongs to no layer", "did you mean \"layers.0.weight\"?"];
    assert_refused(load(&extra("layers.0.wieght")), &words);
    // Comparing names takes memory in proportion to the product of their lengths.
    assert_refused(load(&extra(&"x".repeat(4 << 20))), &["\"xxx", "belongs to no layer"]);
    assert_refused(load(&extra("\u{1b}[2J\n")), &["\"\\u{1b}[2J\\n\" belongs to no layer"]);
}

#[test]
fn numbers_that_are_not_finite() {
    let mut bytes = saved(&model());
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_refused(load(&bytes), &["\"layers.2.weight\"", "finite", "found NaN at [1, 3]"]);
    bytes[end - 4..].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    assert_refused(load(&bytes), &["found -inf at [1, 3]"]);

    let wide = plain(&[("0.weight", "F64", &[1, 2], f64s(&[1.0, 1e39]))]);
    assert_refused(load_as(&wide, &[Activation::Linear]), &["\"0.weight\"", "found 1e39 at [0, 1]"]);
    let half = plain(&[("0.weight", "F16", &[1, 2], vec![0, 0, 0, 0x7c])]);
    assert_refused(load_as(&half, &[Activation::Linear]), &["found inf at [0, 1]"]);
}

#[test]
fn no_description() {
    let words = ["no wgrad description", "--activations", "torch.nn.Sequential"];
    assert_refused(load(&with_header(|h| h["__metadata__"] = json!({}))), &words);
    assert_refused(load(&with_header(|h| drop(h.as_object_mut().unwrap().remove("__metadata__")))), &words);
    assert_refused(load(&plain(&[("0.weight", "F32", &[1, 1], f32s(&[1.0]))])), &words);
}

#[test]
fn a_description_that_cannot_be_read() {
    let text = |text: &str| with_header(|h| h["__metadata__"]["wgrad"] = text.into());
    for broken in ["", "{", "[]", "{}", "{\"format\":\"1\"}", "{\"format\":1}"] {
        assert_refused(load(&text(broken)), &["its wgrad description cannot be read"]);
    }
    let words = ["its wgrad description cannot be read", "memory"];
    assert_refused(load(&with_description(|d| d["memory"] = json!(0.5))), &words);
    assert_refused(load(&with_description(|d| d["network"]["layers"][0]["memory"] = json!(0.5))), &words);
    // Names from the file do not reach the terminal as control sequences.
    assert_refused(load(&with_description(|d| d["\u{1b}[2J"] = json!(0.5))), &["unknown field ` [2J`"]);
    let words = ["its wgrad description cannot be read", "mish", "relu"];
    assert_refused(load(&with_description(|d| d["network"]["layers"][0]["activation"] = "mish".into())), &words);
}

#[test]
fn functions_given_as_text_are_in_the_file() {
    let at = place();
    let mish = Activation::custom("s = softplus(x); mish = x * tanh(s)").unwrap();
    let losses = [
        Loss::custom("abs(y - t)^1.5", &[]).unwrap(),
        Loss::custom_over(Reduction::Samples, "c * abs(y - t)^p", &[("p", 1.5), ("c", 0.1)]).unwrap(),
    ];
    for loss in losses {
        let network = Network::new(2).dense(3, mish).dense(1, Activation::Linear);
        let values = vec![0.5; Params::of(&network).len];
        let model = Model { loss: Some(loss), ..Model::new(network, values).unwrap() };
        model.save(&at.path).unwrap();
        let loaded = Model::load(&at.path).unwrap();
        assert_eq!((&loaded.network, loaded.loss), (&model.network, model.loss));
    }
    let text = String::from_utf8_lossy(&std::fs::read(&at.path).unwrap()).replace("\\\"", "\"");
    for part in [
        r#""activation":"s = softplus(x); mish = x * tanh(s)""#,
        r#""loss":{"custom":"c * abs(y - t)^p","parameters":{"c":0.1,"p":1.5},"reduction":"samples"}"#,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn functions_that_cannot_be_read() {
    let activation = |text: &str| with_description(|d| d["network"]["layers"][0]["activation"] = text.into());
    let words = ["its wgrad description cannot be read", "column 5", "unknown name \"y\"; known: x"];
    assert_refused(load(&activation("x + y")), &words);
    assert_refused(load(&activation("(x")), &["this parenthesis is never closed"]);
    assert_refused(load(&activation(&"(".repeat(4000))), &["nested deeper than 256 levels"]);
    assert_refused(load(&activation(&format!("x{}", "+x".repeat(100_000)))), &["4096 characters"]);
    let loss = |value: Value| with_description(move |d| d["loss"] = value);
    assert_refused(load(&loss(json!("y - u"))), &["unknown loss \"y - u\""]);
    assert_refused(load(&loss(json!("(y - u)^2"))), &["unknown name \"u\"; known: y, t"]);
    assert_refused(load(&loss(json!({ "custom": "(y - t)^2", "parameters": { "d": 1 } }))), &["\"d\" is not used"]);
    assert_refused(
        load(&loss(json!({ "custom": "(y - t)^2", "reductions": "samples" }))),
        &["unknown field `reductions`"],
    );
    assert_refused(load(&loss(json!(3))), &["expected a loss: a name, an expression, or a table"]);
}

#[test]
fn a_description_from_the_future() {
    let bytes = with_description(|d| {
        d["format"] = json!(3);
        d["dropout"] = json!([0.5]);
    });
    assert_refused(load(&bytes), &["format 3", "newer wgrad", "up to 2: update"]);
    assert_refused(load(&with_description(|d| d["format"] = json!(0))), &["format 0"]);
}

#[test]
fn encodings_come_back_and_older_programs_refuse_them() {
    let column = |name: &str, kind| InputColumn { name: name.into(), kind };
    let values = vec!["red".to_owned(), "grün".to_owned()];
    let kind = InputKind::Category { values, missing: Some(1), unknown: Unknown::Error };
    let mut model = model();
    let format = |model: &Model| describe(&saved(model))["format"].clone();
    assert_eq!(format(&model), 1, "what an older program can read");
    assert_eq!(model.encoding(), Encoding::numbers(&model.features));

    model.features = vec!["colour=red".into(), "colour=grün".into()];
    model.encoding = Some(Encoding { columns: vec![column("colour", kind.clone())] });
    assert_eq!(format(&model), 2);
    assert_eq!(load(&saved(&model)).unwrap(), model);
    assert_eq!(model.encoding().features(), model.features);
    for unknown in [Unknown::Column, Unknown::Ignore] {
        let values = vec!["red".to_owned()];
        let one = InputKind::Category { values, missing: None, unknown };
        let number = InputKind::Number { missing: Some(0.1) };
        let columns = match unknown {
            Unknown::Column => vec![column("colour", one)],
            _ => vec![column("colour", one), column("x", number)],
        };
        model.encoding = Some(Encoding { columns });
        assert_eq!(load(&saved(&model)).unwrap(), model);
    }

    let edit = |columns: Value| with_description(move |d| (d["format"], d["encoding"]) = (json!(2), columns));
    let category = |values: &[&str], missing: Value| json!([{"name": "a", "kind": "category", "values": values, "missing": missing, "unknown": "error"}]);
    assert_refused(
        load(&edit(category(&["x", "y", "z"], json!(0)))),
        &["inputs that the encoding", "expected 2, found 3"],
    );
    assert_refused(load(&edit(category(&["x", "x"], json!(0)))), &["column \"a\"", "categories, each once"]);
    assert_refused(load(&edit(category(&["x", "y"], json!(2)))), &["one of the categories for missing values"]);
    let number = |name: &str| json!({"name": name, "kind": "number", "missing": null});
    assert_refused(load(&edit(json!([number("a"), number("a")]))), &["column \"a\"", "found twice"]);
    assert_refused(load(&edit(json!([{"name": "a", "kind": "colour"}]))), &["cannot be read", "unknown variant"]);
}

#[test]
fn an_absurd_network() {
    let width = |i: usize, w: u64| with_description(|d| d["network"]["layers"][i]["outputs"] = json!(w));
    assert_refused(load(&width(0, 0)), &["layer 0 has width 0"]);
    assert_refused(load(&with_description(|d| d["network"]["inputs"] = json!(0))), &["the input has width 0"]);
    assert_refused(load(&with_description(|d| d["network"]["layers"] = json!([]))), &["at least one layer"]);
    for w in [u64::MAX, u64::MAX / 2, 1 << 62] {
        assert_refused(load(&width(0, w)), &["more parameters than memory can ever hold"]);
    }
    // Small enough to be addressed, too large for this file or any machine.
    let words = ["\"layers.0.weight\"", "[1099511627776, 2]", "found [3, 2]"];
    assert_refused(load(&width(0, 1 << 40)), &words);
    assert_refused(load(&with_description(|d| d["network"]["inputs"] = json!(-1))), &["cannot be read"]);
}

#[test]
fn parts_that_do_not_fit_the_network() {
    let edit = |key: &'static str, value: Value| with_description(move |d| d[key] = value);
    let scaling = |n| json!({"kind": "standard", "shift": vec![0.0; n], "scale": [1.0, 1.0]});
    assert_refused(load(&edit("scaling", scaling(3))), &["scaling", "expected 2, found 3"]);
    assert_refused(load(&edit("scaling", scaling(0))), &["scaling", "expected 2, found 0"]);
    let short = json!({"kind": "standard", "shift": [0.0, 0.0], "scale": [1.0]});
    assert_refused(load(&edit("scaling", short)), &["factors in the scaling", "expected 2, found 1"]);
    let infinite = json!({"kind": "standard", "shift": [0.0, 1e300], "scale": [1.0, 1.0]});
    assert_refused(load(&edit("scaling", infinite)), &["cannot be read", "number out of range"]);
    let task = json!({"kind": "regression", "outputs": ["a", "b", "c"]});
    assert_refused(load(&edit("task", task)), &["outputs of the task", "expected 2, found 3"]);
    assert_refused(load(&edit("features", json!(["a"]))), &["input columns", "expected 2, found 1"]);
    assert_refused(load(&edit("loss", json!("logistic_cross_entropy"))), &["output activation sigmoid"]);
}

#[test]
fn a_torch_sequential() {
    let (w0, b0, w10) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [-1.0, -2.0, -3.0]);
    for prefix in ["", "layers.", "module.net."] {
        let name = |name: &str| format!("{prefix}{name}");
        let at = place();
        // Ordered by number, not by name or place: 10 comes after 2.
        let tensors = [
            (&*name("10.weight"), vec![1, 3], &w10[..]),
            (&*name("2.bias"), vec![3], &b0),
            (&*name("2.weight"), vec![3, 2], &w0),
        ];
        save_tensors(&at.path, &tensors, &[]).unwrap();
        let model = Model::load_with_activations(&at.path, &[Activation::Relu, Activation::Sigmoid]).unwrap();
        let last = Layer { bias: Bias::None, ..Layer::new(1, Activation::Sigmoid) };
        assert_eq!(model.network, Network::new(2).dense(3, Activation::Relu).layer(last));
        assert_eq!(model.tensor("layers.0.weight"), Some(&w0[..]));
        assert_eq!(model.tensor("layers.0.bias"), Some(&b0[..]));
        assert_eq!(model.tensor("layers.1.weight"), Some(&w10[..]));
        assert_eq!(load(&saved(&model)).unwrap(), model);
    }
}

#[test]
fn other_number_formats_are_converted() {
    let numbers = [0.5, -1.5, 3.0];
    let half = |bits: [u16; 3]| bits.iter().flat_map(|b| b.to_le_bytes()).collect::<Vec<u8>>();
    for (dtype, bytes) in [
        ("F64", f64s(&numbers.map(f64::from))),
        ("F32", f32s(&numbers)),
        ("F16", half([0x3800, 0xbe00, 0x4200])),
        ("BF16", half([0x3f00, 0xbfc0, 0x4040])),
    ] {
        let model = load_as(&plain(&[("0.weight", dtype, &[1, 3], bytes)]), &[Activation::Linear]).unwrap();
        assert_eq!(model.tensor("layers.0.weight"), Some(&numbers[..]), "{dtype}");
    }
}

#[test]
fn a_bias_of_one_number_is_shared() {
    let bias = |n: usize| {
        let tensors = [("0.weight", "F32", &[3, 1][..], f32s(&[1.0; 3])), ("0.bias", "F32", &[n], f32s(&vec![2.0; n]))];
        load_as(&plain(&tensors), &[Activation::Linear])
    };
    assert_eq!(bias(3).unwrap().network.layers[0].bias, Bias::PerUnit);
    assert_eq!(bias(1).unwrap().network.layers[0].bias, Bias::Shared);
    assert_refused(bias(2), &["\"0.bias\"", "shape [3] or [1], found [2]"]);
}

#[test]
fn a_broken_torch_sequential() {
    let tensor =
        |name: &'static str, shape: &'static [usize]| (name, "F32", shape, f32s(&vec![1.0; shape.iter().product()]));
    let two = [Activation::Tanh, Activation::Linear];
    let good = plain(&[tensor("0.weight", &[3, 2]), tensor("2.weight", &[1, 3])]);
    assert!(load_as(&good, &two).is_ok());
    assert_refused(load_as(&good, &two[..1]), &["each of the 2 weight matrices", "found 1"]);
    assert_refused(load_as(&good, &[]), &["each of the 2 weight matrices", "found 0"]);

    let refused = |tensors: &[_], words: &[&str]| assert_refused(load_as(&plain(tensors), &two), words);
    let first = tensor("0.weight", &[3, 2]);
    refused(&[first.clone(), tensor("2.weight", &[1, 4])], &["\"0.weight\" has 3 outputs", "\"2.weight\" takes 4"]);
    refused(&[first.clone(), tensor("2.weight", &[3])], &["\"2.weight\"", "two dimensions, found [3]"]);
    refused(&[first.clone(), tensor("2.weight", &[1, 3, 1, 1])], &["\"2.weight\"", "found [1, 3, 1, 1]"]);
    refused(&[first.clone(), tensor("2.running_mean", &[3])], &["\"2.running_mean\"", "0.weight"]);
    refused(&[first.clone(), tensor("02.weight", &[1, 3])], &["\"02.weight\""]);
    refused(&[first.clone(), tensor("+2.weight", &[1, 3])], &["\"+2.weight\""]);
    refused(&[first.clone(), tensor("head.0.weight", &[1, 3])], &["\"0.weight\" and \"head.0.weight\""]);
    refused(&[first.clone(), tensor("0.bias", &[3]), tensor("2.bias", &[1])], &["each of the 1 weight matrices"]);
    refused(&[first.clone(), tensor("2.weight", &[1, 3]), tensor("4.bias", &[1])], &["\"4.bias\" belongs to no layer"]);
    refused(&[first, tensor("2.weight", &[0, 3])], &["layer 1 has width 0"]);
    assert_refused(load_as(&plain(&[]), &[]), &["at least one layer"]);
}

#[test]
fn given_activations_replace_the_described_ones() {
    let bytes = saved(&model());
    let given = [Activation::Relu, Activation::Gelu, Activation::Sigmoid];
    let loaded = load_as(&bytes, &given).unwrap();
    assert!(loaded.network.layers.iter().map(|layer| layer.activation).eq(given));
    assert_eq!(loaded.values, model().values);
    assert_eq!(loaded.task, model().task);
    assert_refused(load_as(&bytes, &given[..2]), &["each of the 3 weight matrices", "found 2"]);
}

#[test]
fn any_tensors_can_be_saved() {
    let at = place();
    let metadata: Vec<_> = (0..20).map(|i| (format!("key {i}"), format!("value {i}"))).collect();
    let tensors =
        [("gradient", vec![2, 2], &[1.0, f32::NAN, -0.0, 4.0][..]), ("none", vec![0, 3], &[]), ("one", vec![], &[5.0])];
    save_tensors(&at.path, &tensors, &metadata).unwrap();
    let bytes = std::fs::read(&at.path).unwrap();
    for _ in 0..10 {
        save_tensors(&at.path, &tensors, &metadata).unwrap();
        assert_eq!(std::fs::read(&at.path).unwrap(), bytes);
    }
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().clone().unwrap(), metadata.iter().cloned().collect());
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("gradient").unwrap().data(), f32s(tensors[0].2));
    assert!(file.tensor("one").unwrap().shape().is_empty());

    let text = |tensors: &[_], metadata: &[_]| save_tensors(&at.path, tensors, metadata).unwrap_err().to_string();
    assert!(text(&[("a", vec![2, 2], &[1.0])], &[]).contains("\"a\": expected shape [2, 2], found 1"));
    assert!(text(&[("a", vec![usize::MAX, 2], &[])], &[]).contains("\"a\""));
    assert!(text(&[("a", vec![], &[1.0]), ("a", vec![], &[1.0])], &[]).contains("\"a\" is taken"));
    assert!(text(&[("__metadata__", vec![], &[1.0])], &[]).contains("\"__metadata__\" is taken"));
    assert!(text(&[], &[metadata[0].clone(), metadata[0].clone()]).contains("\"key 0\" is given twice"));
    assert!(text(&[], &[("long".into(), "x".repeat(17 << 20))]).contains("header would have"));
    assert_eq!(std::fs::read(&at.path).unwrap(), bytes, "a refused save changed the file");
}

#[test]
fn random_damage_never_panics() {
    let at = place();
    let valid = saved(&model());
    let end = 8 + u64::from_le_bytes(valid[..8].try_into().unwrap()) as usize;
    let mut rng = ChaCha8Rng::seed_from_u64(2_000);
    let mut loaded = 0;
    for round in 0..2_000 {
        let mut bytes = valid.clone();
        let damage = match round % 4 {
            0 => {
                bytes.truncate(rng.random_range(0..bytes.len()));
                format!("cut to {} bytes", bytes.len())
            }
            // The header is the part that can mislead, so most flips fall there.
            kind => {
                let at = rng.random_range(if kind == 1 { 0..bytes.len() } else { 0..end });
                bytes[at] ^= rng.random_range(1..=255u8);
                format!("byte {at} set to {}", bytes[at])
            }
        };
        std::fs::write(&at.path, &bytes).unwrap();
        let activations = [Activation::Relu, Activation::Relu, Activation::Linear];
        let attempt = || [Model::load(&at.path), Model::load_with_activations(&at.path, &activations)];
        let results = catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| panic!("round {round}: {damage}"));
        for result in results {
            match result {
                Ok(model) => {
                    assert_eq!(model.values.len(), model.params().len);
                    loaded += 1;
                }
                Err(error) => assert!(matches!(error, Error::Model { .. }), "round {round}: {damage}: {error:?}"),
            }
        }
    }
    assert!((100..2_000).contains(&loaded), "{loaded} of 4,000 damaged files were loaded: is the damage real?");
}
