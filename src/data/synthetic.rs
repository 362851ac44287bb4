//! Data sets that are drawn: points in the plane in two classes, and a curve.

use super::{Dataset, Matrix, Task};
use crate::error::did_you_mean;
use crate::random::{Purpose, generator};
use crate::{Error, Result};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal, StandardUniform};
use std::f64::consts::PI;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Two sides of a line through a square.
    HalfPlane,
    /// The quarters of a square, opposite ones in one class.
    Xor,
    /// A circle of radius ½ inside one of radius 1.
    Circles,
    /// Two interleaved half circles of radius 1.
    Moons,
    /// Two spirals around each other, one and a half turns each, to radius 3.
    Spirals,
    /// One period of the sine: a regression.
    Sine,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Shape; 6] =
        [Shape::HalfPlane, Shape::Xor, Shape::Circles, Shape::Moons, Shape::Spirals, Shape::Sine];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Shape::HalfPlane => "half-plane",
            Shape::Xor => "xor",
            Shape::Circles => "circles",
            Shape::Moons => "moons",
            Shape::Spirals => "spirals",
            Shape::Sine => "sine",
        }
    }
}

/// The longest data set; its numbers take up 1.6 GB.
const MOST: usize = 100_000_000;

/// A data set that is drawn; as a text `NAME`, `NAME:ROWS` or `NAME:ROWS:NOISE`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Synthetic {
    /// What is drawn.
    pub shape: Shape,
    /// How many rows: 2 to 100,000,000, by default 1000.
    pub rows: usize,
    /// The standard deviation of what is added to both coordinates of a point after its class is decided, and to the targets
    /// of the sine; by default 0.1.
    pub noise: f64,
}

impl Synthetic {
    /// 1000 rows with noise 0.1.
    pub fn new(shape: Shape) -> Self {
        Synthetic { shape, rows: 1000, noise: 0.1 }
    }

    fn validate(self) -> Result<Self> {
        let name = self.shape.name();
        if !(2..=MOST).contains(&self.rows) {
            return Err(Error::Config(format!("{name} needs 2 to {MOST} rows, found {}", self.rows)));
        }
        if !(self.noise.is_finite() && self.noise >= 0.0) {
            let found = self.noise;
            return Err(Error::Config(format!("the noise of {name} must be finite and at least 0, found {found}")));
        }
        Ok(self)
    }

    /// Draws it, the same for the same `seed`.
    ///
    /// # Errors
    /// Where rows or noise are out of range.
    pub fn generate(&self, seed: u64) -> Result<Dataset> {
        let Synthetic { shape, rows, noise } = self.validate()?;
        let mut rng = generator(seed, Purpose::Synthetic);
        let mut inputs = Vec::new();
        let mut targets = Vec::new();
        let mut labels = Vec::new();
        for row in 0..rows {
            let (x, y, class) = shape.point(row % 2, &mut rng);
            let mut blurred = |value: f64| {
                let drawn: f64 = StandardNormal.sample(&mut rng);
                (value + noise * drawn) as f32
            };
            if shape == Shape::Sine {
                inputs.push(x as f32);
                targets.push(blurred(y));
            } else {
                inputs.extend([blurred(x), blurred(y)]);
                labels.push(class);
            }
        }
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        let (features, task, targets) = match shape {
            Shape::Sine => (names(&["x"]), Task::Regression { outputs: names(&["y"]) }, Matrix::new(rows, 1, targets)?),
            _ => {
                let task = Task::classes(["0", "1"]);
                (names(&["x", "y"]), task, Matrix::one_hot(&labels, 2))
            }
        };
        let inputs = Matrix::new(rows, inputs.len() / rows, inputs)?;
        let data = Dataset { name: shape.name().into(), features, task, inputs, targets, weights: None };
        // Noise near the largest number makes infinities.
        data.validate()?;
        Ok(data)
    }
}

impl Shape {
    /// A point without noise, and its class: `turn`, which is 0 and 1 in turns, where the class decides where the point is
    /// and not the other way round.
    fn point(self, turn: usize, rng: &mut impl Rng) -> (f64, f64, usize) {
        let mut between = |low: f64, high: f64| {
            let drawn: f64 = StandardUniform.sample(rng);
            low + (high - low) * drawn
        };
        let on_circle = |radius: f64, angle: f64| (radius * angle.cos(), radius * angle.sin());
        let side = if turn == 0 { 1.0 } else { -1.0 };
        match self {
            Shape::HalfPlane | Shape::Xor => {
                let (x, y) = (between(-1.0, 1.0), between(-1.0, 1.0));
                let second = if self == Shape::Xor { x * y < 0.0 } else { x + y > 0.0 };
                (x, y, usize::from(second))
            }
            Shape::Circles => {
                let (x, y) = on_circle(if turn == 0 { 1.0 } else { 0.5 }, between(0.0, 2.0 * PI));
                (x, y, turn)
            }
            Shape::Moons => {
                let (x, y) = on_circle(1.0, between(0.0, PI));
                if turn == 0 { (x, y, 0) } else { (1.0 - x, 0.5 - y, 1) }
            }
            Shape::Spirals => {
                // The root spreads the points evenly along the arms.
                let along = between(0.0, 1.0).sqrt();
                let (x, y) = on_circle(side * 3.0 * along, 3.0 * PI * along);
                (x, y, turn)
            }
            Shape::Sine => {
                let x = between(-PI, PI);
                (x, x.sin(), 0)
            }
        }
    }
}

impl FromStr for Shape {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Shape::ALL.into_iter().find(|shape| shape.name() == text).ok_or_else(|| {
            let names = Shape::ALL.map(Shape::name);
            let hint = did_you_mean(text, names);
            Error::Config(format!("unknown synthetic data {text:?}{hint}; known: {}", names.join(", ")))
        })
    }
}

impl FromStr for Synthetic {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.splitn(3, ':');
        let mut synthetic = Synthetic::new(parts.next().unwrap_or_default().parse()?);
        if let Some(rows) = parts.next() {
            let wrong =
                |_| Error::Config(format!("expected a number of rows in {text:?}, found {rows:?}; NAME:ROWS:NOISE"));
            synthetic.rows = rows.parse().map_err(wrong)?;
        }
        if let Some(noise) = parts.next() {
            let wrong =
                |_| Error::Config(format!("expected a number as noise in {text:?}, found {noise:?}; NAME:ROWS:NOISE"));
            synthetic.noise = noise.parse().map_err(wrong)?;
        }
        synthetic.validate()
    }
}

impl Display for Synthetic {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.shape.name(), self.rows, self.noise)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn clean(shape: Shape) -> Dataset {
        Synthetic { rows: 500, noise: 0.0, ..Synthetic::new(shape) }.generate(3).unwrap()
    }

    #[test]
    fn points_lie_where_their_class_is() {
        for shape in Shape::ALL {
            let data = clean(shape);
            data.validate_for_training().unwrap();
            let near = |found: f32, expected: f32| (found - expected).abs() < 1e-5;
            let Some(labels) = data.labels() else {
                let each = data.inputs.data.iter().zip(&data.targets.data);
                assert!(each.clone().count() == 500 && each.clone().all(|(x, y)| near(*y, x.sin())));
                continue;
            };
            for (row, label) in labels.into_iter().enumerate() {
                let [x, y] = [0, 1].map(|i| data.inputs.row(row)[i]);
                let second = label == 1;
                let lies_well = match shape {
                    Shape::HalfPlane => (x + y > 0.0) == second,
                    Shape::Xor => (x * y < 0.0) == second,
                    Shape::Circles => near(x.hypot(y), if second { 0.5 } else { 1.0 }),
                    Shape::Moons if second => near((x - 1.0).hypot(y - 0.5), 1.0) && y <= 0.5,
                    Shape::Moons => near(x.hypot(y), 1.0) && y >= 0.0,
                    Shape::Spirals => {
                        let (radius, side) = (x.hypot(y), if second { -1.0 } else { 1.0 });
                        near(side * radius * (radius * std::f32::consts::PI).cos(), x)
                    }
                    Shape::Sine => false,
                };
                assert!(lies_well, "{}: ({x}, {y}) is of class {label}", shape.name());
            }
        }
    }

    #[test]
    fn noise_moves_points_as_far_as_it_says() {
        let (clean, noisy) = (clean(Shape::Sine), Synthetic { rows: 500, noise: 0.2, shape: Shape::Sine });
        let noisy = noisy.generate(3).unwrap();
        let off = noisy.targets.data.iter().zip(&noisy.inputs.data).map(|(y, x)| f64::from(y - x.sin()).powi(2));
        let deviation = (off.sum::<f64>() / 500.0).sqrt();
        assert!((deviation - 0.2).abs() < 0.03, "{deviation}");
        assert_eq!(clean.inputs, noisy.inputs);
    }

    #[test]
    fn the_seed_decides() {
        let of = |seed| Synthetic::new(Shape::Moons).generate(seed).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn texts_go_both_ways_and_wrong_ones_are_explained() {
        assert_eq!("xor".parse::<Synthetic>().unwrap(), Synthetic::new(Shape::Xor));
        for text in ["moons:500:0.25", "half-plane:2:0", "sine:1000:0.1"] {
            assert_eq!(text.parse::<Synthetic>().unwrap().to_string(), text);
        }
        for (text, expected) in [
            ("mons", "did you mean \"moons\"?"),
            ("moons:many", "found \"many\""),
            ("moons:1", "2 to 100000000 rows, found 1"),
            ("moons:10:-1", "at least 0, found -1"),
            ("moons:10:nan", "finite"),
            ("moons:10:0.1:5", "found \"0.1:5\""),
        ] {
            let error = text.parse::<Synthetic>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let error = Synthetic { noise: 1e39, ..Synthetic::new(Shape::Xor) }.generate(0).unwrap_err().to_string();
        assert!(error.contains("xor, inputs"), "{error}");
    }
}
