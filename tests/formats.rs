//! Every file format, on real files that `tests/data/formats/make.py` wrote, whole and broken.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use wgrad::data::{
    Dataset, Encoding, Format, InputColumn, InputKind, Matrix, Missing, ReadOptions, Survey, Task, Unknown, read_inputs,
};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats").join(name)
}

/// The message without the folder in front of the file's name.
fn message(error: wgrad::Error) -> String {
    error.to_string().replace(&format!("{}/", path("").display().to_string().trim_end_matches('/')), "")
}

fn format(text: &str) -> Option<Format> {
    Some(text.parse().unwrap())
}

/// How the table is read that is there in most formats.
fn table() -> ReadOptions {
    ReadOptions { weights: Some("weight".into()), missing: Missing::Mean, ..ReadOptions::default() }
}

fn read(name: &str, options: &ReadOptions) -> wgrad::Result<Dataset> {
    Survey::new(&path(name), options)?.load()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// Equal, where NaN is equal to itself.
fn same(a: &Matrix, b: &Matrix) -> bool {
    let bits = |matrix: &Matrix| matrix.data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    (a.rows, a.cols, bits(a)) == (b.rows, b.cols, bits(b))
}

#[test]
fn one_table_in_every_format() {
    let data = read("table.csv", &table()).unwrap();
    assert_eq!(data.features, names(&["size", "count", "colour=blue", "colour=green", "colour=red"]));
    assert_eq!(data.task, Task::Classification { classes: names(&["cat", "dog"]), column: Some("kind".into()) });
    assert_eq!(data.weights, Some([&[1.0, 2.0, 1.0, 0.0, 1.0, 1.0, 0.5][..], &[1.0; 5]].concat()));
    assert_eq!(data.inputs.row(1), [-2.0, 2.0, 0.0, 1.0, 0.0]);
    assert!(data.inputs.row(4)[0].is_nan() && data.inputs.row(4)[1..] == [5.0, 0.0, 0.0, 1.0]);
    assert_eq!(data.labels(), Some([0, 1].repeat(6)));
    let others = [
        "table.csv.gz",
        "table.tsv",
        "table.jsonl",
        "table.parquet",
        "zstd.parquet",
        "delta.parquet",
        "table.arrow",
        "zstd.arrow",
        "stream.arrow",
    ];
    for (name, format) in others.into_iter().map(|name| (name, None)).chain([("semicolons.txt", format("csv:;"))]) {
        let other = read(name, &ReadOptions { format, ..table() }).unwrap();
        assert!(same(&other.inputs, &data.inputs), "{name}: {:?}", other.inputs);
        assert_eq!(
            (&other.features, &other.task, &other.targets),
            (&data.features, &data.task, &data.targets),
            "{name}"
        );
        assert_eq!(other.weights, data.weights, "{name}");
    }
    // Where the name says nothing, the first bytes do.
    let folder = tempfile::tempdir().unwrap();
    for name in ["table.csv.gz", "table.jsonl", "table.parquet", "table.arrow", "stream.arrow"] {
        std::fs::copy(path(name), folder.path().join("data")).unwrap();
        let survey = Survey::new(&folder.path().join("data"), &table()).unwrap();
        assert!(same(&survey.load().unwrap().inputs, &data.inputs), "{name}");
    }
}

#[test]
fn columns_are_summed_up() {
    let survey = Survey::new(&path("table.parquet"), &table()).unwrap();
    let found: Vec<_> = survey.columns().iter().map(|c| (c.name.as_str(), c.categories, c.missing)).collect();
    assert_eq!(found, [("size", None, 1), ("count", None, 0), ("colour", Some(3), 0)]);
    let options = ReadOptions { categorical: names(&["count"]), ignore: names(&["size"]), ..table() };
    let survey = Survey::new(&path("table.parquet"), &options).unwrap();
    assert_eq!(survey.encoding().width(), 12 + 3);
    assert_eq!(survey.encoding().features()[..3], names(&["count=1", "count=2", "count=3"]), "in the order of numbers");
}

#[test]
fn imputed_encoded_and_scaled_as_by_scikit_learn() {
    let expected: std::collections::BTreeMap<String, Vec<Vec<f64>>> =
        serde_json::from_slice(&std::fs::read(path("expected.json")).unwrap()).unwrap();
    assert_eq!(expected.len(), 6);
    for (name, rows) in expected {
        let (missing, scaling) = name.split_once(' ').unwrap();
        let missing: Missing = missing.parse().unwrap();
        let survey = Survey::new(&path("table.csv"), &ReadOptions { missing: missing.clone(), ..table() }).unwrap();
        let (mut data, mut encoding) = (survey.load().unwrap(), survey.encoding().clone());
        encoding.fit_missing(&missing, &data.inputs).unwrap();
        encoding.fill(&mut data.inputs);
        encoding.fit_scaling(scaling.parse().unwrap(), &data.inputs).apply(&mut data.inputs).unwrap();
        data.validate().unwrap();
        for (i, row) in rows.iter().enumerate() {
            let close = row.iter().zip(data.inputs.row(i)).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-6);
            assert!(close && row.len() == data.inputs.cols, "{name}, row {i}: {row:?}, {:?}", data.inputs.row(i));
        }
    }
}

#[test]
fn arrays() {
    let numbers: Vec<f32> = (0..12).map(|i| i as f32 / 4.0).collect();
    let labels = Some(path("labels.npy"));
    let npy = read("inputs.npy", &ReadOptions { labels: labels.clone(), ..ReadOptions::default() }).unwrap();
    assert_eq!((npy.inputs.data.to_vec(), npy.features.clone()), (numbers, names(&["c1", "c2"])));
    assert_eq!(npy.labels(), Some([0, 1, 2].repeat(2)));
    let fortran = read("fortran.npy", &ReadOptions { labels, ..ReadOptions::default() }).unwrap();
    let keras = ReadOptions { format: format("npz:x_train,y_train"), ..ReadOptions::default() };
    for (name, options) in
        [("arrays.npz", ReadOptions::default()), ("compressed.npz", ReadOptions::default()), ("keras.npz", keras)]
    {
        let npz = read(name, &options).unwrap();
        assert!(npz.features[0].starts_with('x') && npz.features[0].ends_with('1'), "{name}: {:?}", npz.features);
        assert_eq!((&npz.inputs, &npz.targets), (&npy.inputs, &npy.targets), "{name}");
    }
    assert_eq!((fortran.inputs, fortran.targets), (npy.inputs, npy.targets));
    // Without labels, the last column is the target.
    assert_eq!(read("inputs.npy", &ReadOptions::default()).unwrap().task, Task::Regression { outputs: names(&["c2"]) });
}

#[test]
fn images() {
    let pixels: Vec<f32> = (0..36).map(|i| (i * 7 % 256) as f32).collect();
    for name in ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz"] {
        let data = read(name, &ReadOptions::default()).unwrap();
        assert_eq!((data.inputs.cols, data.inputs.data.to_vec()), (6, pixels.clone()), "{name}");
        assert_eq!(data.labels(), Some([0, 1, 2].repeat(2)), "{name}");
    }
    let data = read("shapes", &ReadOptions::default()).unwrap();
    assert!(data.task.agrees_with(&Task::classes(["hole", "spot"])));
    assert_eq!(data.labels(), Some(vec![0, 0, 1, 1]));
    let row = |from: usize| (from..from + 6).map(|x| x as f32).collect::<Vec<_>>();
    assert_eq!([0, 1, 2, 3].map(|i| data.inputs.row(i).to_vec()), [row(0), row(10), row(100), row(110)]);
    // Images alone have no answers, but can be predicted.
    let encoding = Encoding::numbers(&data.features);
    let folder = path("shapes/spot");
    let inputs = read_inputs(&folder, None, &encoding, None).unwrap();
    assert_eq!((inputs.rows, inputs.row(0)), (2, data.inputs.row(2)));
    assert!(
        message(Survey::new(&folder, &ReadOptions::default()).err().unwrap()).contains("a column with the answers")
    );
}

#[test]
fn broken_files() {
    let cut = "cut short or damaged";
    for (name, expected) in [
        ("truncated-table.csv.gz", cut),
        ("magic-table.csv.gz", "not part of UTF-8 text"),
        ("truncated.jsonl", "line 4: expected a JSON object: EOF while parsing"),
        ("ragged.jsonl", "line 2: unknown member \"bee\""),
        ("nested.jsonl", "line 2, column \"a\": expected a number, a text, true, false or null, found an array"),
        ("infinite.jsonl", "line 2, column \"a\": expected a finite 32-bit number, found \"1e+300\""),
        ("ragged.tsv", "line 3: expected 2 fields, as in the first line, found 1"),
        ("infinite.csv", "line 3, column \"a\": expected a finite 32-bit number, found \"inf\""),
        ("truncated-table.parquet", "cannot be read as a Parquet file"),
        ("magic-table.parquet", "cannot be read as a Parquet file"),
        ("infinite.parquet", "row 2, column \"a\": expected a finite 32-bit number, found inf"),
        ("nested.parquet", "column \"a\": expected numbers, texts or booleans, found the type List"),
        ("truncated-table.arrow", "cannot be read as an Arrow file"),
        ("magic-table.arrow", "cannot be read as an Arrow file"),
        ("truncated-stream.arrow", "cannot be read as an Arrow file"),
        ("magic-stream.arrow", "cannot be read as an Arrow file"),
        ("infinite.arrow", "row 2, column \"a\": expected a finite 32-bit number, found inf"),
        ("bytes.arrow", "column \"a\": expected numbers, texts or booleans, found the type Binary"),
        ("truncated-inputs.npy", "takes 48 bytes, but 4 are there: the file is damaged or cut short"),
        ("magic-inputs.npy", "this is not a NumPy .npy file"),
        ("infinite.npy", "row 2, column \"c2\": expected a class or a finite number, found \"inf\""),
        ("complex.npy", "expected float16, float32, float64, integers or bool, found the type '<c8'"),
        ("truncated-arrays.npz", "cannot be read as a NumPy archive"),
        ("magic-arrays.npz", "cannot be read as a NumPy archive"),
        ("infinite.npz", "row 2, column \"x2\": expected a finite 32-bit number, found inf"),
        ("objects.npz", "array \"y\": expected float16, float32, float64, integers or bool, found the type '|O'"),
        ("keras.npz", "different numbers of rows: x_train 6, y_train 6, x_test 2, y_test 2; name those to read"),
        ("truncated-train-images-idx3-ubyte", "expected 6 rows of 6 numbers, but the file ends before"),
        ("magic-train-images-idx3-ubyte", "an IDX file, which begins with two bytes of 0, found 7F 58 59 5A"),
        ("type.idx", "a type of numbers from 0x08 to 0x0E in the third byte, found 0x0A"),
        ("infinite.idx", "row 1, column \"c2\": expected a finite 32-bit number, found inf"),
        ("short-images-idx3-ubyte", "short-labels-idx1-ubyte: expected 6 labels, as there are images in"),
        ("broken", "broken/b.png: cannot be read as a PNG image"),
        ("mixed", "mixed/b.png: expected 3 x 2 pixels of 1 channel(s), as in"),
    ] {
        let target = match name {
            "broken" | "mixed" | "infinite.idx" | "truncated-train-images-idx3-ubyte" => Some("c1".to_owned()),
            _ => None,
        };
        let result = read(name, &ReadOptions { target, ..table_or_any(name) });
        assert!(result.is_err(), "{name} was read");
        let error = message(result.unwrap_err());
        assert!(error.contains(expected), "{name}: {error}");
        assert!(error.contains(name.trim_end_matches(".gz")) || name.starts_with("short"), "{name}: {error}");
    }
}

/// The options of the table, where the file is one.
fn table_or_any(name: &str) -> ReadOptions {
    if ["table", "stream", "zstd", "delta"].iter().any(|part| name.contains(part)) {
        table()
    } else {
        ReadOptions::default()
    }
}

thread_local! {
    static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs `read` on files that may make a reader panic, without a word about it.
fn quietly(read: impl FnOnce()) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !QUIET.get() {
            usual(panic);
        }
    }));
    QUIET.set(true);
    read();
    QUIET.set(false);
}

/// A damaged file is refused or read, but never ends the program, wherever it is cut and whichever byte is changed.
#[test]
fn files_with_any_byte_changed_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "table.csv.gz",
        "table.jsonl",
        "table.parquet",
        "zstd.parquet",
        "delta.parquet",
        "table.arrow",
        "zstd.arrow",
        "stream.arrow",
        "arrays.npz",
        "floats.idx",
    ] {
        let whole = std::fs::read(path(name)).unwrap();
        let mut files = 0;
        let mut read = |bytes: &[u8]| {
            // Each has a name of its own: to write over a file can mean to wait for the disk.
            files += 1;
            let at = folder.path().join(format!("{files}-{name}"));
            std::fs::write(&at, bytes).unwrap();
            let failed = Survey::new(&at, &table_or_any(name)).and_then(|survey| survey.load()).is_err();
            std::fs::remove_file(&at).unwrap();
            failed
        };
        let mut refused = 0;
        quietly(|| {
            for i in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[i] ^= if i % 2 == 0 { 0xFF } else { 0x01 };
                refused += usize::from(read(&bytes));
                if i % 23 == 0 {
                    read(&whole[..i]);
                }
            }
        });
        assert!(refused > whole.len() / 20, "{name}: {refused} of {}", whole.len());
    }
}

/// What a file says about its own sizes is not believed: a reader that did would ask for more memory than there is.
#[test]
fn sizes_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let long = |factor: u64, length: u64| (length * factor + 1).to_le_bytes();
    // The claim stands in front of a compressed buffer, whose length is that of the least frame behind it and more.
    let lz4 = [0x04, 0x22, 0x4D, 0x18];
    let zstd = [0x28, 0xB5, 0x2F, 0xFD];
    let patch = |name: &str, from: &[u8], shift: isize, with: &[u8]| {
        let mut bytes = std::fs::read(path(name)).unwrap();
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        let at = at.checked_add_signed(shift).unwrap();
        bytes[at..at + with.len()].copy_from_slice(with);
        let at = folder.path().join(name);
        std::fs::write(&at, bytes).unwrap();
        Survey::new(&at, &table_or_any(name)).err().map(message).unwrap_or_default()
    };
    for (name, frame, claim) in [
        ("table.arrow", lz4, 1u64 << 40),
        ("table.arrow", lz4, u64::from_le_bytes(long(255, 1 << 10))),
        ("zstd.arrow", zstd, 1 << 40),
        ("zstd.arrow", zstd, u64::from_le_bytes(long(32_768, 1 << 10))),
    ] {
        let error = patch(name, &frame, -8, &claim.to_le_bytes());
        let expected = format!("decompress to {claim}, more than they can); write it again");
        assert!(
            error.contains("cannot be read as an Arrow file (it says that ") && error.contains(&expected),
            "{error}"
        );
    }
    // 12 texts in blocks of 128 with 4 parts; a dictionary of 3 texts.
    let error = patch("delta.parquet", &[0x80, 0x01, 0x04, 12], 3, &[127]);
    assert!(error.contains("a page of 12 values says that it has the lengths of more"), "{error}");
    let error = patch("table.parquet", &[0x4C, 0x15, 2 * 3, 0x15], 2, &[2 * 63]);
    assert!(error.contains("a dictionary of 63 values has 24 bytes"), "{error}");
}

#[test]
fn new_categories_at_prediction() {
    let values = names(&["green", "red"]);
    let encoding = |unknown| {
        let kind = InputKind::Category { values: values.clone(), missing: None, unknown };
        let colour = InputColumn { name: "colour".into(), kind };
        Encoding { columns: vec![InputColumn::number("count"), colour] }
    };
    let predict = |unknown| {
        let read = |memory| read_inputs(&path("table.tsv"), None, &encoding(unknown), memory);
        let inputs = read(None).map_err(message)?;
        let in_a_file = read(Some(50)).unwrap();
        assert!(in_a_file.data.in_a_file() && in_a_file == inputs);
        Ok::<_, String>(inputs.data)
    };
    let error = "table.tsv, line 5, column \"colour\": the category \"blue\" is none of the 2 known categories";
    assert!(predict(Unknown::Error).unwrap_err().starts_with(error));
    assert_eq!(predict(Unknown::Column).unwrap()[12..20], [4.0, 0.0, 0.0, 1.0, 5.0, 0.0, 1.0, 0.0]);
    assert_eq!(predict(Unknown::Ignore).unwrap()[9..15], [4.0, 0.0, 0.0, 5.0, 0.0, 1.0]);
    assert_eq!(encoding(Unknown::Column).features(), names(&["count", "colour=green", "colour=red", "colour=?"]));
}

#[test]
fn missing_values_at_prediction() {
    let predict = |missing| {
        let encoding =
            Encoding { columns: vec![InputColumn { name: "size".into(), kind: InputKind::Number { missing } }] };
        read_inputs(&path("table.parquet"), None, &encoding, None).map(|inputs| inputs.data).map_err(message)
    };
    assert_eq!(predict(Some(-9.0)).unwrap()[3..6], [8.0, -9.0, 3.0]);
    let error = "table.parquet, row 5, column \"size\": expected a finite 32-bit number, found \"NaN\"";
    assert!(predict(None).unwrap_err().starts_with(error));
}

#[test]
fn constants_stand_for_missing_values() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("a.csv");
    std::fs::write(&at, "x,colour,y\n1,red,0.5\nNA,,1.5\n?,blue,2.5\n").unwrap();
    let fit = |missing: &str| {
        let missing: Missing = missing.parse().unwrap();
        let survey = Survey::new(&at, &ReadOptions { missing: missing.clone(), ..ReadOptions::default() })?;
        let (mut data, mut encoding) = (survey.load()?, survey.encoding().clone());
        encoding.fit_missing(&missing, &data.inputs)?;
        encoding.fill(&mut data.inputs);
        Ok::<_, wgrad::Error>((data.features, data.inputs.data.to_vec()))
    };
    let (features, inputs) = fit("constant:7").unwrap();
    assert_eq!(features, names(&["x", "colour=blue", "colour=red", "colour=7"]));
    assert_eq!(inputs, [1.0, 0.0, 1.0, 0.0, 7.0, 0.0, 0.0, 1.0, 7.0, 1.0, 0.0, 0.0]);
    assert!(fit("constant:none").unwrap_err().to_string().contains("found the constant \"none\""));
    assert_eq!(fit("most_frequent").unwrap().1[3..6], [1.0, 1.0, 0.0], "of several, the first");
    for text in ["error", "mean", "median", "most_frequent", "constant:a:b"] {
        assert_eq!(text.parse::<Missing>().unwrap().to_string(), text);
    }
    assert!("median_".parse::<Missing>().unwrap_err().to_string().contains("did you mean \"median\"?"));
}

#[test]
fn weights_and_roles_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("a.csv");
    let survey = |text: &str, options: ReadOptions| {
        std::fs::write(&at, text).unwrap();
        let error = Survey::new(&at, &options).err().unwrap().to_string();
        error.replace(&format!("{}/", folder.path().display()), "")
    };
    let weights = || ReadOptions { weights: Some("w".into()), ..ReadOptions::default() };
    let error = "a.csv, line 3, column \"w\": expected a weight of at least 0, found -1";
    assert_eq!(survey("x,w,y\n1,1,0\n1,-1,0\n", weights()), error);
    assert!(survey("x,w,y\n1,1,0\n1,inf,0\n", weights()).starts_with("a.csv, line 3, column \"w\": expected a finite"));
    assert!(survey("x,w,y\n1,,0\n", weights()).starts_with("a.csv, line 2, column \"w\": the field is empty"));
    assert_eq!(survey("x,w,y\n1,0,0\n", weights()), "a.csv: all 1 rows have the weight 0: expected one that counts");
    assert!(survey("x,v,y\n1,0,0\n", weights()).starts_with("a.csv: there is no column \"w\""));
    let both = ReadOptions { target: Some("w".into()), ..weights() };
    assert!(survey("x,w,y\n1,1,0\n", both).contains("the target column \"w\" is also one of weights"));
    let categorical = ReadOptions { categorical: names(&["y"]), ..ReadOptions::default() };
    assert!(survey("x,y\n1,0\n", categorical).contains("is named categorical, but is none of the inputs"));
    let lines: String = (0..80).map(|i| format!("id {i},{i}.5\n")).collect();
    let error = survey(&format!("id,y\n{lines}"), ReadOptions::default());
    assert!(error.contains("column \"id\" has 80 distinct texts in 80 rows, too many to be categories"), "{error}");
    let error = survey("a,y\n,1\n,2\n", ReadOptions { missing: Missing::Mean, ..ReadOptions::default() });
    assert_eq!(error, "a.csv: column \"a\" has no value in any row; ignore it");
}

#[test]
fn texts_of_numbers_are_parsed_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("a.csv");
    let rows = 30_000;
    let number = |i: usize| (i as f32 * 0.37).sin() * 10f32.powi(i as i32 % 30 - 15);
    let lines: String = (0..rows).map(|i| format!("{}, {:e},{}\n", number(i), number(i + 1), i % 3)).collect();
    std::fs::write(&at, format!("a,b,y\n{lines}")).unwrap();
    let inputs = read_inputs(&at, None, &Encoding::numbers(&names(&["a", "b"])), None).unwrap();
    assert_eq!(inputs.data[..], (0..rows).flat_map(|i| [number(i), number(i + 1)]).collect::<Vec<_>>());
    let survey = |options: ReadOptions| Survey::new(&at, &options).unwrap();
    let all = [ReadOptions::default(), ReadOptions { memory: Some(1000), ..ReadOptions::default() }].map(survey);
    let gaps = ReadOptions { missing: Missing::Mean, ..ReadOptions::default() };
    std::fs::write(&at, "a,b,y\n1,NA,0\n,2,1\n").unwrap();
    let gaps = survey(gaps);
    std::fs::write(&at, "a,b,y\n1,2,0\nred,3,1\n").unwrap();
    let texts = Survey::new(&at, &ReadOptions { categorical: names(&["a"]), ..ReadOptions::default() }).unwrap();
    std::fs::remove_file(&at).unwrap();
    for survey in all {
        let data = survey.load().unwrap();
        assert!(same(&data.inputs, &inputs) && data.labels().unwrap()[..4] == [0, 1, 2, 0]);
        let parts = survey.load_parts(&[&[5, 29_999], &[], &[4, 6]]).unwrap();
        let expected = [[5, 29_999].as_slice(), &[], &[4, 6]].map(|rows| inputs.select(rows));
        assert!(parts.iter().zip(&expected).all(|(part, expected)| same(&part.inputs, expected)));
    }
    let data = gaps.load().unwrap().inputs.data;
    assert!(data[0] == 1.0 && data[1].is_nan() && data[2].is_nan() && data[3] == 2.0);
    assert!(texts.load().unwrap_err().to_string().contains("a.csv"), "other texts are read again");
}

#[test]
fn numbers_that_differ_in_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("a.csv");
    // More than are counted as classes could be; the first ones are those that were.
    let value = |i: usize| ((i * 7919) % 70_001) as f32 / 8.0;
    let lines: String = (0..70_001).map(|i| format!("1,{}\n", value(i))).collect();
    std::fs::write(&at, format!("x,y\n{lines}{lines}")).unwrap();
    let data = Survey::new(&at, &ReadOptions::default()).unwrap().load().unwrap();
    assert_eq!(data.task, Task::Regression { outputs: names(&["y"]) });
    assert_eq!(data.targets.data[..], (0..140_002).map(|i| value(i % 70_001)).collect::<Vec<_>>());
}

#[test]
fn rows_in_a_file_are_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("table.csv");
    std::fs::copy(path("table.csv"), &at).unwrap();
    let load = |memory| {
        let options = ReadOptions { memory, ..table() };
        let survey = Survey::new(&at, &options).unwrap();
        let mut parts = survey.load_parts(&[&[7, 0, 4, 11], &[3], &[]]).unwrap();
        let mut encoding = survey.encoding().clone();
        encoding.fit_missing(&Missing::Median, &parts[0].inputs).unwrap();
        parts.iter_mut().for_each(|part| encoding.fill(&mut part.inputs));
        let scaling = encoding.fit_scaling("standard".parse().unwrap(), &parts[0].inputs);
        parts.iter_mut().for_each(|part| scaling.apply(&mut part.inputs).unwrap());
        (survey.is_large(), encoding, scaling, parts)
    };
    let (small, large) = (load(None), load(Some(335)));
    assert!(!load(Some(336)).0, "12 rows of 5 inputs and 2 outputs");
    assert!(!small.0 && large.0 && large.3[0].inputs.data.in_a_file() && large.3[1].targets.data.in_a_file());
    assert_eq!((small.1, small.2, &small.3), (large.1, large.2, &large.3));
    assert_eq!(large.3[0].labels(), Some(vec![1, 0, 0, 1]));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "temporary files have no names");
}
