use crate::custom::{self, Kind};
use crate::graph::Function;
use crate::real::Real;
use crate::{Error, Result};

const KIND: Kind =
    Kind { what: "an activation", inputs: &["x"], signatures: ["activation(x: f32)", "activation_derivative(x: f32)"] };

/// An activation that was given as text: [`Activation::custom`](super::Activation::custom).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Custom(custom::Custom);

impl Custom {
    pub(super) fn new(text: &str) -> Result<Self> {
        let custom = custom::Custom::new(&KIND, text, &[])?;
        for (what, function) in [("the value", custom.value()), ("the derivative", custom.derivative())] {
            let at_zero = custom::scalar(function, &[0.0f32]);
            if !at_zero.is_finite() {
                let what = format!("{what} at x = 0 is {at_zero}; expected a number: rows of zeros fill up a batch");
                return Err(Error::Expression { text: custom.text().to_owned(), column: 1, what });
            }
        }
        Ok(Custom(custom))
    }

    /// The text, on one line.
    pub fn text(self) -> &'static str {
        self.0.text()
    }

    pub(super) fn name(self) -> &'static str {
        self.0.name()
    }

    pub(super) fn value<T: Real>(self, x: T) -> T {
        custom::scalar(self.0.value(), &[x])
    }

    pub(super) fn derivative<T: Real>(self, x: T) -> T {
        custom::scalar(self.0.derivative(), &[x])
    }

    pub(super) fn expressions(self) -> [&'static Function; 2] {
        [self.0.value(), self.0.derivative()]
    }

    pub(super) fn hook(self) -> &'static str {
        self.0.hook()
    }

    pub(super) fn wgsl(self) -> &'static str {
        self.0.wgsl()
    }
}
