//! Where data, models and first weights come from, as they are named on the command line and in configurations.

use clap::Args;
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use wgrad::data::{
    ColumnSummary, Encoding, Format, ReadOptions, Shape, Survey, Synthetic, Task, TaskHint, read_columns,
};
use wgrad::error::did_you_mean;
use wgrad::loss::Equation;
use wgrad::{Activation, Dataset, Error, Init, Loss, Model, Result};

/// The ending of a file's name, in small letters.
pub fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// A data set with its answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The bundled handwritten digits.
    Digits,
    /// Data that are drawn.
    Synthetic(Synthetic),
    /// A file of any format that the library reads, a folder of images, or `-` for standard input.
    File(PathBuf),
}

/// What files of data may be called, for messages.
pub const FILES: &str = "a file (.csv, .tsv, .npy, .npz, .idx, .parquet, .arrow, .jsonl, or any that exists), a folder of images, \
                         - for standard input";

/// The names of data that are no file.
fn known_data() -> impl Iterator<Item = &'static str> {
    ["digits"].into_iter().chain(Shape::ALL.map(Shape::name))
}

/// The error where `text` names no data, nor any of the `files` that would do.
pub fn unknown_data(text: &str, files: &str) -> Error {
    let known = known_data().collect::<Vec<_>>().join(", ");
    let hint = did_you_mean(text.split(':').next().unwrap_or(text), known_data());
    Error::Config(format!("expected {known} or {files}, found {text:?}{hint}"))
}

impl Source {
    /// The source that `text` names; `None` where it is none by its name or ending.
    fn named(text: &str) -> Option<Result<Source>> {
        match text {
            "digits" => Some(Ok(Source::Digits)),
            "-" => Some(Ok(Source::File(text.into()))),
            _ if Format::by_name(text.as_ref()).is_some() => Some(Ok(Source::File(text.into()))),
            _ if Shape::ALL.iter().any(|shape| text.split(':').next() == Some(shape.name())) => {
                Some(text.parse().map(Source::Synthetic))
            }
            // Whatever it is called, its first bytes say what it is.
            _ if ending(text.as_ref()) != "safetensors" && Path::new(text).exists() => {
                Some(Ok(Source::File(text.into())))
            }
            _ => None,
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Source::named(text).unwrap_or_else(|| Err(unknown_data(text, FILES)))
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Source::Digits => f.write_str("digits"),
            Source::Synthetic(synthetic) => synthetic.fmt(f),
            Source::File(path) => path.display().fmt(f),
        }
    }
}

/// Data to train on whose rows are still to be divided.
pub enum Loaded {
    /// All of them are in memory.
    Whole(Dataset),
    /// They are read from a file once it is known where each goes.
    File(Box<Survey>),
}

impl Loaded {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        match self {
            Loaded::Whole(data) => data.rows(),
            Loaded::File(survey) => survey.rows(),
        }
    }

    /// Each row's class, where there are classes.
    pub fn labels(&self) -> Option<Vec<u32>> {
        match self {
            Loaded::Whole(data) => data.labels(),
            Loaded::File(survey) => survey.labels(),
        }
    }

    /// What makes inputs of the columns; what stands for missing values is not fitted yet.
    pub fn encoding(&self) -> Encoding {
        match self {
            Loaded::Whole(data) => Encoding::numbers(&data.features),
            Loaded::File(survey) => survey.encoding().clone(),
        }
    }

    /// What the columns of a file hold.
    pub fn columns(&self) -> &[ColumnSummary] {
        match self {
            Loaded::Whole(_) => &[],
            Loaded::File(survey) => survey.columns(),
        }
    }

    /// The rows of each part.
    pub fn parts(&self, parts: &[&[u32]]) -> Result<Vec<Dataset>> {
        match self {
            Loaded::Whole(data) => Ok(parts.iter().map(|rows| data.select(rows)).collect()),
            Loaded::File(survey) => survey.load_parts(parts),
        }
    }
}

impl Source {
    /// Reads the data to train on, or draws them by `seed`; with the columns and answers of the model that is gone on from.
    pub fn load(&self, options: &ReadOptions, origin: Option<&Model>, seed: u64) -> Result<Loaded> {
        let data = match (self, origin) {
            (Source::File(path), Some(Model { encoding: Some(encoding), task: Some(task), .. })) => {
                return Survey::like(path, options, encoding, task).map(Box::new).map(Loaded::File);
            }
            (Source::File(path), _) => return Survey::new(path, options).map(Box::new).map(Loaded::File),
            (Source::Digits, _) => Dataset::digits(),
            (Source::Synthetic(synthetic), _) => synthetic.generate(seed)?,
        };
        let name = &data.name;
        if let Some(flag) = set(options) {
            let what = match flag {
                "target" => format!("{name} has its own target; leave --target out"),
                _ => format!("{name} is no file; leave --{flag} out"),
            };
            return Err(Error::Config(what));
        }
        match (&data.task, options.task) {
            (Task::Classification { .. }, TaskHint::Regression) => {
                Err(Error::Config(format!("{name} has classes; leave --task out, or say classification")))
            }
            (Task::Regression { .. }, TaskHint::Classification) => {
                Err(Error::Config(format!("{name} has numbers; leave --task out, or say regression")))
            }
            _ => Ok(Loaded::Whole(data)),
        }
    }

    /// Reads what an equation is trained on: its inputs and data are columns of these names.
    pub fn load_equation(&self, equation: Equation, options: &ReadOptions) -> Result<Dataset> {
        let text = equation.text();
        match self {
            Source::File(path) => read_columns(path, options, &text.inputs, &text.data),
            Source::Digits | Source::Synthetic(_) => {
                Err(Error::Config(format!("an equation needs a file with the columns that it names, found {self}")))
            }
        }
    }

    /// Reads data for `model`: its inputs, encoded and scaled as it wants them, and the answers it should give.
    pub fn load_for(&self, model: &Model, options: &ReadOptions, seed: u64) -> Result<Dataset> {
        if let Some(Loss::Equation(equation)) = model.loss {
            return self.load_equation(equation, options);
        }
        let mut data = match (self, &model.task) {
            (Source::File(path), Some(task)) => Survey::like(path, options, &model.encoding(), task)?.load()?,
            _ => match self.load(options, None, seed)? {
                Loaded::Whole(data) => data,
                Loaded::File(survey) => survey.load()?,
            },
        };
        if let Some(task) = &model.task {
            check_task(task, &data)?;
        }
        if let Some(scaling) = &model.scaling {
            scaling.apply(&mut data.inputs)?;
        }
        Ok(data)
    }
}

/// The first option that only files have.
fn set(options: &ReadOptions) -> Option<&'static str> {
    let ReadOptions { format, labels, target, task: _, weights, ignore, categorical, missing, unknown, memory: _ } =
        options;
    let usual = ReadOptions::default();
    let flags = [
        ("target", target.is_some()),
        ("format", format.is_some()),
        ("labels", labels.is_some()),
        ("weights", weights.is_some()),
        ("ignore", !ignore.is_empty()),
        ("categorical", !categorical.is_empty()),
        ("missing", *missing != usual.missing),
        ("unknown", *unknown != usual.unknown),
    ];
    flags.into_iter().find(|(_, set)| *set).map(|(flag, _)| flag)
}

/// Checks that the answers in `data` mean what a model's outputs mean.
pub fn check_task(task: &Task, data: &Dataset) -> Result<()> {
    if task.agrees_with(&data.task) {
        return Ok(());
    }
    let list = |task: &Task| match task {
        Task::Classification { classes, .. } => format!("the classes {}", crate::words::list(classes)),
        Task::Regression { outputs } => format!("the numbers {}", crate::words::list(outputs)),
    };
    let what = format!("the model answers with {}, but the data holds {}", list(task), list(&data.task));
    Err(Error::Data { place: data.name.clone(), what })
}

/// What a training run is given: a source, or a configuration that names one.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// A source of data; everything else comes from flags.
    Source(Source),
    /// A configuration, which flags override.
    Toml(PathBuf),
}

impl Given {
    /// What `text` names; `None` where it is nothing by its name or ending.
    pub fn named(text: &str) -> Option<Result<Given>> {
        match ending(text.as_ref()).as_str() {
            "toml" => Some(Ok(Given::Toml(text.into()))),
            _ => Source::named(text).map(|source| source.map(Given::Source)),
        }
    }
}

impl FromStr for Given {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Given::named(text).unwrap_or_else(|| Err(unknown_data(text, &format!("{FILES}, or the name of a .toml file"))))
    }
}

/// Where the initial weights come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// They are drawn.
    Drawn(Init),
    /// They are those of a model file.
    File(PathBuf),
}

/// How weights can be drawn without further numbers.
const SCHEMES: [(&str, Init); 5] = [
    ("auto", Init::Auto),
    ("xavier_uniform", Init::XavierUniform),
    ("xavier_normal", Init::XavierNormal),
    ("he_uniform", Init::HeUniform),
    ("he_normal", Init::HeNormal),
];

impl FromStr for Start {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| {
            let wrong = |_| Error::Config(format!("expected a number behind the colon, found {text:?}"));
            text.parse::<f64>().map_err(wrong)
        };
        if let Some((_, init)) = SCHEMES.iter().find(|(name, _)| *name == text) {
            return Ok(Start::Drawn(*init));
        }
        match text.split_once(':') {
            Some(("uniform", bound)) => return Ok(Start::Drawn(Init::Uniform { bound: number(bound)? })),
            Some(("normal", deviation)) => return Ok(Start::Drawn(Init::Normal { deviation: number(deviation)? })),
            _ => {}
        }
        if ending(text.as_ref()) == "safetensors" {
            return Ok(Start::File(text.into()));
        }
        let names = SCHEMES.iter().map(|(name, _)| *name).chain(["uniform:BOUND", "normal:DEVIATION"]);
        let names: Vec<_> = names.collect();
        let hint = did_you_mean(text, names.iter().copied());
        let known = names.join(", ");
        Err(Error::Config(format!("unknown initial weights {text:?}{hint}; known: {known}, or a .safetensors file")))
    }
}

impl Display for Start {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Start::Drawn(Init::Uniform { bound }) => write!(f, "uniform:{bound}"),
            Start::Drawn(Init::Normal { deviation }) => write!(f, "normal:{deviation}"),
            Start::Drawn(init) => {
                f.write_str(SCHEMES.iter().find(|(_, known)| known == init).map_or("", |(name, _)| name))
            }
            Start::File(path) => path.display().fmt(f),
        }
    }
}

/// The model that a command works on.
#[derive(Args)]
pub struct ModelArgs {
    /// The model file (.safetensors)
    #[arg(value_name = "MODEL")]
    pub path: PathBuf,
    /// One activation for each layer, the output layer's last: for a file with the weights of a plain
    /// torch.nn.Sequential, which does not say its activations; where the file does, these replace them
    #[arg(long, value_name = "A1,A2,…")]
    pub activations: Option<Activations>,
}

/// Activations in a row.
#[derive(Clone, Debug)]
pub struct Activations(Vec<Activation>);

impl FromStr for Activations {
    type Err = Error;

    /// Commas separate them, but for those between the arguments of a function.
    fn from_str(text: &str) -> Result<Self> {
        let mut open = 0;
        let separates = |c: char| {
            open += i32::from(c == '(') - i32::from(c == ')');
            c == ',' && open <= 0
        };
        text.split(separates).map(|activation| activation.trim().parse()).collect::<Result<_>>().map(Activations)
    }
}

impl Activations {
    /// All of them, from the first layer on.
    pub fn as_slice(&self) -> &[Activation] {
        &self.0
    }
}

impl ModelArgs {
    /// Reads the model file.
    pub fn load(&self) -> Result<Model> {
        match &self.activations {
            Some(Activations(activations)) => Model::load_with_activations(&self.path, activations),
            None => Model::load(&self.path),
        }
    }
}

/// A file of numbers, in either of two formats.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// The file.
    pub path: PathBuf,
    /// NumPy's format rather than CSV.
    pub npy: bool,
}

impl FromStr for Numbers {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let path = PathBuf::from(text);
        match ending(&path).as_str() {
            "csv" => Ok(Numbers { path, npy: false }),
            "npy" => Ok(Numbers { path, npy: true }),
            _ => Err(Error::Config(format!("expected the name of a .csv or .npy file, found {text:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn starts_go_both_ways() {
        let texts = ["auto", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal", "uniform:0.5", "normal:1"];
        for text in texts.into_iter().chain(["a/b.safetensors"]) {
            assert_eq!(text.parse::<Start>().unwrap().to_string(), text);
        }
        let text = "he_uniforn".parse::<Start>().unwrap_err().to_string();
        assert!(text.contains("did you mean \"he_uniform\"?"), "{text}");
        assert!("uniform:x".parse::<Start>().is_err());
    }

    #[test]
    fn sources_are_known_by_their_names() {
        assert_eq!("digits".parse::<Given>().unwrap(), Given::Source(Source::Digits));
        assert_eq!("x/A.CSV".parse::<Given>().unwrap(), Given::Source(Source::File("x/A.CSV".into())));
        assert_eq!("a.toml".parse::<Given>().unwrap(), Given::Toml("a.toml".into()));
        let drawn = Synthetic { rows: 500, ..Synthetic::new(Shape::HalfPlane) };
        assert_eq!("half-plane:500".parse::<Given>().unwrap(), Given::Source(Source::Synthetic(drawn)));
        assert_eq!("moons:1.csv".parse::<Source>().unwrap(), Source::File("moons:1.csv".into()));
        assert_eq!("-".parse::<Given>().unwrap(), Given::Source(Source::File("-".into())));
        let images = "train-images-idx3-ubyte.gz";
        assert_eq!(images.parse::<Source>().unwrap(), Source::File(images.into()));
        // Whatever is there may be data, but a model is none.
        let there = tempfile::tempdir().unwrap();
        let model = there.path().join("m.safetensors");
        std::fs::write(&model, "").unwrap();
        assert!(model.to_str().unwrap().parse::<Source>().is_err());
        let folder = there.path().to_str().unwrap();
        assert_eq!(folder.parse::<Source>().unwrap(), Source::File(folder.into()));
        for (text, expected) in [
            ("digist", "did you mean \"digits\"?"),
            ("mons:500", "did you mean \"moons\"?"),
            ("moons:few", "expected a number of rows"),
        ] {
            let error = text.parse::<Given>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
