//! Losses in files: a name, the text of a custom loss, or a table where one text does not say all.

use super::{EquationText, Loss, Reduction};
use serde::de::{Error, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt::{self, Formatter};

/// A custom loss, or an equation, with its names.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Table {
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameters: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reduction: Option<Reduction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    equation: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data: Vec<String>,
}

impl Serialize for Loss {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let table = match *self {
            Loss::Custom(custom) if custom.reduction() != Reduction::default() || !custom.parameters().is_empty() => {
                Table {
                    custom: Some(custom.text().to_owned()),
                    parameters: custom.parameters().iter().cloned().collect(),
                    reduction: Some(custom.reduction()),
                    ..Table::default()
                }
            }
            Loss::Custom(custom) => return serializer.serialize_str(custom.text()),
            Loss::Equation(equation) => {
                let EquationText { equation, inputs, outputs, data } = equation.text().clone();
                Table { equation: Some(equation), inputs, outputs, data, ..Table::default() }
            }
            registered => return serializer.serialize_str(registered.name()),
        };
        table.serialize(serializer)
    }
}

impl Table {
    fn loss(self) -> Result<Loss, String> {
        match self {
            Table { custom: Some(text), equation: None, parameters, reduction, inputs, outputs, data }
                if inputs.is_empty() && outputs.is_empty() && data.is_empty() =>
            {
                let parameters: Vec<_> = parameters.iter().map(|(name, &value)| (name.as_str(), value)).collect();
                Loss::custom_over(reduction.unwrap_or_default(), &text, &parameters).map_err(|error| error.to_string())
            }
            Table { custom: None, equation: Some(equation), parameters, reduction: None, inputs, outputs, data }
                if parameters.is_empty() =>
            {
                let text = EquationText { equation, inputs, outputs, data };
                super::Equation::new(text).map(Loss::Equation).map_err(|error| error.to_string())
            }
            _ => Err("a loss as a table has `custom` with `parameters` and `reduction`, or `equation` with `inputs`, \
                      `outputs` and `data`"
                .into()),
        }
    }
}

impl<'de> Deserialize<'de> for Loss {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Loss;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a loss: a name, an expression, or a table with `custom` or `equation`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Loss, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Loss, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map))?.loss().map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
