use super::Reduction;
use crate::Result;
use crate::custom::{self, Kind};
use crate::graph::Function;
use crate::real::Real;
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
        f.write_str(match self.reduction {
            Reduction::Elements => "",
            Reduction::Samples => ", summed over the outputs",
            Reduction::Sum => ", summed over everything",
        })
    }
}
