use super::{Loss, Reduction};
use crate::Result;
use crate::custom::{self, Kind};
use crate::graph::Function;
use crate::real::Real;
use serde::de::{Error, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

const KIND: Kind = Kind {
    what: "a loss",
    inputs: &["y", "t"],
    signatures: ["loss_value(y: f32, t: f32, row: Row)", "loss_derivative(y: f32, t: f32, row: Row)"],
};

/// A loss that was given as text: [`Loss::custom`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Custom {
    function: custom::Custom,
    reduction: Reduction,
}

impl Custom {
    pub(super) fn new(reduction: Reduction, text: &str, parameters: &[(&str, f64)]) -> Result<Self> {
        Ok(Custom { function: custom::Custom::new(&KIND, text, parameters)?, reduction })
    }

    /// The text, on one line.
    pub fn text(self) -> &'static str {
        self.function.text()
    }

    /// The parameters, by name.
    pub fn parameters(self) -> &'static [(String, f64)] {
        self.function.parameters()
    }

    pub(super) fn name(self) -> &'static str {
        self.function.name()
    }

    pub(super) fn reduction(self) -> Reduction {
        self.reduction
    }

    pub(super) fn value<T: Real>(self, y: T, t: T) -> T {
        custom::scalar(self.function.value(), &[y, t])
    }

    pub(super) fn derivative<T: Real>(self, y: T, t: T) -> T {
        custom::scalar(self.function.derivative(), &[y, t])
    }

    pub(super) fn expressions(self) -> [&'static Function; 2] {
        [self.function.value(), self.function.derivative()]
    }

    pub(super) fn wgsl(self) -> &'static str {
        self.function.wgsl()
    }
}

impl Display for Custom {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())?;
        for (name, value) in self.parameters() {
            write!(f, ", {name} = {value}")?;
        }
        if self.reduction == Reduction::Samples {
            f.write_str(", summed over the outputs")?;
        }
        Ok(())
    }
}

/// A custom loss with what a text alone does not say.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    custom: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    parameters: BTreeMap<String, f64>,
    #[serde(default)]
    reduction: Reduction,
}

/// A name, the text of a custom loss, or a table where the text does not say all.
impl Serialize for Loss {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Loss::Custom(custom) if custom.reduction != Reduction::default() || !custom.parameters().is_empty() => {
                let parameters = custom.parameters().iter().cloned().collect();
                Table { custom: custom.text().to_owned(), parameters, reduction: custom.reduction }
                    .serialize(serializer)
            }
            Loss::Custom(custom) => serializer.serialize_str(custom.text()),
            registered => serializer.serialize_str(registered.name()),
        }
    }
}

impl<'de> Deserialize<'de> for Loss {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Loss;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a loss: a name, an expression, or a table with `custom`, `parameters` and `reduction`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Loss, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Loss, A::Error> {
                let Table { custom, parameters, reduction } = Table::deserialize(MapAccessDeserializer::new(map))?;
                let parameters: Vec<_> = parameters.iter().map(|(name, &value)| (name.as_str(), value)).collect();
                Loss::custom_over(reduction, &custom, &parameters).map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
