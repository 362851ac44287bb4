//! Where data, models and first weights come from, as they are named on the command line and in configurations.

use clap::Args;
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use wgrad::data::{Shape, Synthetic, Task, TaskHint, read_columns_csv, read_csv_as, read_dataset_csv_like};
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
    /// A CSV file.
    Csv(PathBuf),
}

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
            _ if ending(text.as_ref()) == "csv" => Some(Ok(Source::Csv(text.into()))),
            _ if Shape::ALL.iter().any(|shape| text.split(':').next() == Some(shape.name())) => {
                Some(text.parse().map(Source::Synthetic))
            }
            _ => None,
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Source::named(text).unwrap_or_else(|| Err(unknown_data(text, "the name of a .csv file")))
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Source::Digits => f.write_str("digits"),
            Source::Synthetic(synthetic) => synthetic.fmt(f),
            Source::Csv(path) => path.display().fmt(f),
        }
    }
}

impl Source {
    /// Reads the data to train on, or draws them by `seed`.
    pub fn load(&self, target: Option<&str>, hint: TaskHint, seed: u64) -> Result<Dataset> {
        let data = match self {
            Source::Csv(path) => return read_csv_as(path, target, hint),
            Source::Digits => Dataset::digits(),
            Source::Synthetic(synthetic) => synthetic.generate(seed)?,
        };
        let name = &data.name;
        if target.is_some() {
            return Err(Error::Config(format!("{name} has its own target; leave --target out")));
        }
        match (&data.task, hint) {
            (Task::Classification { .. }, TaskHint::Regression) => {
                Err(Error::Config(format!("{name} has classes; leave --task out, or say classification")))
            }
            (Task::Regression { .. }, TaskHint::Classification) => {
                Err(Error::Config(format!("{name} has numbers; leave --task out, or say regression")))
            }
            _ => Ok(data),
        }
    }

    /// Reads what an equation is trained on: its inputs and data are columns of these names.
    pub fn load_equation(&self, equation: Equation) -> Result<Dataset> {
        let text = equation.text();
        match self {
            Source::Csv(path) => read_columns_csv(path, &text.inputs, &text.data),
            Source::Digits | Source::Synthetic(_) => Err(Error::Config(format!(
                "an equation needs a .csv file with the columns that it names, found {self}"
            ))),
        }
    }

    /// Reads data for `model`: its inputs, scaled as it wants them, and the answers it should give.
    pub fn load_for(&self, model: &Model, target: Option<&str>, seed: u64) -> Result<Dataset> {
        if let Some(Loss::Equation(equation)) = model.loss {
            return self.load_equation(equation);
        }
        let mut data = match (self, &model.task) {
            (Source::Csv(path), Some(task)) => read_dataset_csv_like(path, &features(model), task, target)?,
            _ => self.load(target, TaskHint::Infer, seed)?,
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

/// The names of a model's input columns, or made-up ones where it has none.
pub fn features(model: &Model) -> Vec<String> {
    match model.features.is_empty() {
        true => (1..=model.network.inputs).map(|i| format!("c{i}")).collect(),
        false => model.features.clone(),
    }
}

/// Checks that the answers in `data` mean what a model's outputs mean.
pub fn check_task(task: &Task, data: &Dataset) -> Result<()> {
    if *task == data.task {
        return Ok(());
    }
    let list = |task: &Task| match task {
        Task::Classification { classes } => format!("the classes {}", crate::words::list(classes)),
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
        Given::named(text).unwrap_or_else(|| Err(unknown_data(text, "the name of a .csv or .toml file")))
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
        assert_eq!("x/A.CSV".parse::<Given>().unwrap(), Given::Source(Source::Csv("x/A.CSV".into())));
        assert_eq!("a.toml".parse::<Given>().unwrap(), Given::Toml("a.toml".into()));
        let drawn = Synthetic { rows: 500, ..Synthetic::new(Shape::HalfPlane) };
        assert_eq!("half-plane:500".parse::<Given>().unwrap(), Given::Source(Source::Synthetic(drawn)));
        assert_eq!("moons:1.csv".parse::<Source>().unwrap(), Source::Csv("moons:1.csv".into()));
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
