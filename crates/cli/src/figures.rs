//! Which charts there are of runs and models.

use crate::chart::{Boundary, Confusion, Corner, Histogram, Lines, Mark, Point, Series, Surface};
use crate::judged::Judged;
use crate::tuning::TuneArgs;
use crate::watch::runs::History;
use crate::words::short;
use wgrad::data::{Scaling, Task};
use wgrad::metrics::{Metrics, Probabilities, RocCurve};
use wgrad::params::Role;
use wgrad::train::{RateRange, argmax};
use wgrad::{Activation, Bias, Dataset, Device, Error, Layer, Matrix, Model, Network, Result};

/// What is measured over epochs, as `wgrad plot curves` draws it: the columns of the log.
pub struct Measure {
    /// What `--measure` calls it.
    pub name: &'static str,
    title: &'static str,
    y: &'static str,
    /// A column with the suffix of its line's name.
    columns: &'static [(&'static str, &'static str)],
}

/// Everything that can be drawn over epochs.
pub const MEASURES: [Measure; 6] = [
    Measure {
        name: "loss",
        title: "Loss",
        y: "loss",
        columns: &[("loss", "training"), ("validation_loss", "validation")],
    },
    Measure { name: "accuracy", title: "Accuracy", y: "accuracy", columns: &[("validation_accuracy", "validation")] },
    Measure { name: "r_squared", title: "R²", y: "R²", columns: &[("validation_r_squared", "validation")] },
    Measure {
        name: "learning_rate",
        title: "Learning rate",
        y: "learning rate",
        columns: &[("learning_rate", "learning rate")],
    },
    Measure {
        name: "gradient_norm",
        title: "Norm of the gradient",
        y: "norm",
        columns: &[("gradient_norm", "norm of the gradient")],
    },
    Measure {
        name: "throughput",
        title: "Throughput",
        y: "samples/s",
        columns: &[("samples_per_second", "samples/s")],
    },
];

/// One measure of one run or of several. `None` where none of them has it.
pub fn curves(runs: &[History], measure: &Measure, log_y: bool) -> Option<Lines> {
    let mut lines = Lines { log_y, ..Lines::new(measure.title, "epoch", measure.y) };
    for (i, run) in runs.iter().enumerate() {
        for (j, (column, what)) in measure.columns.iter().enumerate() {
            let points = run.series(column);
            if points.is_empty() {
                continue;
            }
            // Of one run each line has a colour, of several runs each run.
            let (name, colour) = match runs.len() {
                1 => ((*what).to_owned(), j),
                _ if measure.columns.len() > 1 => (format!("{}, {what}", run.name), i),
                _ => (run.name.clone(), i),
            };
            lines.series.push(Series { name, points, colour, dashed: runs.len() > 1 && j > 0 });
        }
    }
    (!lines.series.is_empty()).then_some(lines)
}

/// The losses of a range test over the learning rate, with what it suggests.
pub fn range(found: &RateRange) -> Lines {
    let points = |of: fn(&wgrad::train::RangePoint) -> f64| {
        found.points.iter().map(|point| (f64::from(point.rate), of(point))).collect()
    };
    let mut lines = Lines { log_x: true, ..Lines::new("Learning-rate range test", "learning rate", "loss") };
    lines.series.push(Series {
        name: "loss of each step".into(),
        points: points(|point| f64::from(point.loss)),
        colour: 5,
        dashed: false,
    });
    lines.series.push(Series {
        name: "smoothed".into(),
        points: points(|point| point.smoothed),
        colour: 0,
        dashed: false,
    });
    let marks = [("steepest", found.steepest(), 1), ("least / 10", found.tenth_of_least(), 2)];
    for (name, rate, colour) in marks {
        if let Some(rate) = rate {
            let name = format!("{name}: {}", short(f64::from(rate)));
            lines.marks.push(Mark { x: f64::from(rate), name, colour });
        }
    }
    // What a diverging loss shoots up to hides everything below it.
    let smoothed = || found.points.iter().map(|point| point.smoothed);
    let (low, first) = (smoothed().fold(f64::INFINITY, f64::min), smoothed().next().unwrap_or(1.0));
    let high = 1.3 * first.max(low);
    let least = found.points.iter().map(|point| f64::from(point.loss)).fold(low, f64::min);
    lines.range = (least < high).then_some((least - 0.05 * (high - least), high));
    lines
}

/// The confusion matrix of `metrics`; `None` for numbers, and for more classes than are counted.
pub fn confusion(metrics: &Metrics, of: &str) -> Option<Confusion> {
    let Metrics::Classification(metrics) = metrics else { return None };
    Some(Confusion {
        title: format!("Confusion matrix, {of}"),
        classes: metrics.classes.iter().map(|class| class.name.clone()).collect(),
        counts: metrics.confusion.clone()?,
    })
}

/// More curves nobody can tell apart.
const MOST_CURVES: usize = 16;

/// The ROC curves of `outputs`.
pub fn roc(data: &Dataset, outputs: &Matrix, model: &Model, of: &str) -> Result<Lines> {
    let curves = RocCurve::of(data, outputs, model.loss)?;
    if curves.is_empty() || curves.len() > MOST_CURVES {
        let what = format!(
            "a ROC chart needs rows of at least two classes and at most {MOST_CURVES} curves, found {}",
            curves.len()
        );
        return Err(Error::Data { place: data.name.clone(), what });
    }
    let mut lines = Lines::new(&format!("ROC, {of}"), "false positive rate", "true positive rate");
    (lines.range, lines.legend) = (Some((0.0, 1.02)), Corner::LowerRight);
    for curve in curves {
        let name = format!("{} (area {:.4})", curve.class, curve.area());
        lines = lines.line(&name, curve.points);
    }
    lines.series.push(Series { name: "chance".into(), points: vec![(0.0, 0.0), (1.0, 1.0)], colour: 7, dashed: true });
    Ok(lines)
}

/// Activations, or their derivatives, over `from` to `to`.
pub fn functions(activations: &[Activation], (from, to): (f64, f64), derivative: bool) -> Lines {
    const POINTS: usize = 601;
    let x = |i: usize| from + (to - from) * i as f64 / (POINTS - 1) as f64;
    let (title, y) = if derivative { ("Derivatives of activations", "f′(x)") } else { ("Activations", "f(x)") };
    let lines = Lines { legend: Corner::UpperLeft, ..Lines::new(title, "x", y) };
    activations.iter().fold(lines, |lines, activation| {
        let f = |x: f64| if derivative { activation.derivative_at(x) } else { activation.value(x) };
        lines.line(activation.name(), (0..POINTS).map(|i| (x(i), f(x(i)))).collect())
    })
}

/// Columns and rows of the grid of a boundary.
const GRID: (usize, usize) = (128, 96);

/// Whether a model's answers can be drawn over the plane.
pub fn is_planar(network: &Network) -> bool {
    network.inputs == 2
}

/// What `judged` answers over the plane, around its data where there are some.
pub fn boundary(judged: &Judged, device: &Device, tune: TuneArgs) -> Result<Boundary> {
    let model = &judged.model;
    if !is_planar(&model.network) {
        let found = model.network.inputs;
        return Err(Error::Config(format!(
            "a decision boundary is drawn for networks with 2 inputs; this one has {found}"
        )));
    }
    let plane = Plane::around(model, judged.data.as_ref());
    let outputs = judged.outputs(device, &plane.grid(model)?, tune)?;
    let title = match judged.rows.as_str() {
        "" => "Decision boundary".to_owned(),
        rows => format!("Decision boundary, {rows}"),
    };
    Ok(plane.boundary(title, model, &outputs, judged.data.as_ref()))
}

/// A part of the plane of two inputs, in the data's own numbers.
pub struct Plane {
    pub x: (f64, f64),
    pub y: (f64, f64),
}

impl Plane {
    /// The plane around the rows of `data`, which are scaled as `model` wants them; without data, around its scaling.
    pub fn around(model: &Model, data: Option<&Dataset>) -> Plane {
        let scaling = model.scaling.clone().unwrap_or(Scaling::none(2));
        let range = |col: usize| {
            let scaled = data.into_iter().flat_map(|data| data.inputs.data.iter().skip(col).step_by(2));
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            for &x in scaled {
                let x = raw(&scaling, col, x);
                (low, high) = (low.min(x), high.max(x));
            }
            if low > high {
                (low, high) = (raw(&scaling, col, -2.0), raw(&scaling, col, 2.0));
            }
            let room = if high > low { 0.08 * (high - low) } else { 1.0 };
            (low - room, high + room)
        };
        Plane { x: range(0), y: range(1) }
    }

    /// The middles of the grid's cells, scaled as `model` wants them.
    pub fn grid(&self, model: &Model) -> Result<Matrix> {
        self.cells(model, GRID)
    }

    /// The same for a grid of `columns` and `rows`.
    pub fn cells(&self, model: &Model, (columns, rows): (usize, usize)) -> Result<Matrix> {
        let middle = |(low, high): (f64, f64), i: usize, of: usize| low + (high - low) * (i as f64 + 0.5) / of as f64;
        let data = (0..rows).flat_map(|row| {
            (0..columns)
                .flat_map(move |column| [middle(self.x, column, columns) as f32, middle(self.y, row, rows) as f32])
        });
        let mut inputs = Matrix::new(columns * rows, 2, data.collect())?;
        if let Some(scaling) = &model.scaling {
            scaling.apply(&mut inputs)?;
        }
        Ok(inputs)
    }

    fn boundary(self, title: String, model: &Model, outputs: &Matrix, data: Option<&Dataset>) -> Boundary {
        let names = model.encoding().features();
        let scaling = model.scaling.clone().unwrap_or(Scaling::none(2));
        let classes = match &model.task {
            Some(Task::Classification { classes, .. }) => classes.clone(),
            _ => Vec::new(),
        };
        let labels = data.and_then(Dataset::labels);
        let points = data.into_iter().flat_map(|data| {
            (0..data.rows()).map(|row| Point {
                x: raw(&scaling, 0, data.inputs.row(row)[0]),
                y: raw(&scaling, 1, data.inputs.row(row)[1]),
                class: labels.as_ref().map(|labels| labels[row] as usize),
            })
        });
        Boundary {
            title,
            inputs: [names[0].clone(), names[1].clone()],
            x: self.x,
            y: self.y,
            grid: GRID,
            surface: surface(model, outputs),
            points: points.collect(),
            classes,
        }
    }
}

/// The input as it was before it was scaled to `x`.
fn raw(scaling: &Scaling, col: usize, x: f32) -> f64 {
    f64::from(x) / f64::from(scaling.scale[col]) + f64::from(scaling.shift[col])
}

/// What outputs say: classes with how sure the network is, or the first of several numbers.
pub fn surface(model: &Model, outputs: &Matrix) -> Surface {
    let rows = || (0..outputs.rows).map(|row| outputs.row(row));
    match &model.task {
        Some(Task::Classification { .. }) => {
            let probabilities = Probabilities::of(model.loss);
            let sure = |row: &[f32]| {
                let class = argmax(row);
                let mut shares = probabilities.apply(row);
                let best = shares.remove(class);
                let next = shares.into_iter().fold(f64::NEG_INFINITY, f64::max);
                (class, (best - next).clamp(0.0, 1.0))
            };
            Surface::Classes(rows().map(sure).collect())
        }
        _ => Surface::Numbers(rows().map(|row| f64::from(row[0])).collect()),
    }
}

/// The histograms of each tensor, in the order of the layers.
pub fn weights(model: &Model) -> Vec<Histogram> {
    let histogram = |tensor: &wgrad::params::Tensor| {
        let shape: Vec<_> = tensor.shape().iter().map(usize::to_string).collect();
        Histogram::of(format!("{} [{}]", tensor.name, shape.join(", ")), &model.values[tensor.range()], 0)
    };
    model.params().tensors.iter().map(histogram).collect()
}

/// The histograms of what each layer puts out for `inputs`, which are scaled as the model wants them.
pub fn activations(model: &Model, device: &Device, inputs: &Matrix) -> Result<Vec<Histogram>> {
    let rows = inputs.rows.min(1024);
    let inputs = inputs.select(&(0..rows as u32).collect::<Vec<_>>());
    let all = model.network.layers.len();
    (1..=all)
        .map(|layers| {
            // The network up to a layer is a network, whose arena is the beginning of the whole one's. A layer with units that
            // drop out or with a residual cannot be the last, so one behind it hands its outputs on as they are.
            let layer = &model.network.layers[layers - 1];
            let (activation, width) = (layer.activation, layer.outputs);
            let mut network = Network { layers: model.network.layers[..layers].to_vec(), ..model.network.clone() };
            if layers < all {
                network = network.layer(Layer { bias: Bias::None, ..Layer::new(width, Activation::Linear) });
            }
            let params = wgrad::Params::of(&network);
            let mut values = vec![0.0; params.len];
            let given = params.tensors.iter().filter(|tensor| tensor.layer < layers);
            given.for_each(|tensor| values[tensor.range()].copy_from_slice(&model.values[tensor.range()]));
            if let (true, Some(identity)) = (layers < all, params.get(layers, Role::Weight)) {
                (0..width).for_each(|unit| values[identity.offset + unit * (width + 1)] = 1.0);
            }
            let outputs = wgrad::Predictor::new(device, &network, &values, rows)?.predict(&inputs)?;
            let title = format!("output of layer {layers}, {}", activation.name());
            Ok(Histogram::of(title, &outputs.data, 2))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use wgrad::data::ScalingKind;

    #[test]
    fn a_plane_is_in_the_numbers_of_the_data_and_its_cells_in_those_of_the_model() {
        let network = Network::new(2).dense(1, Activation::Linear);
        let len = wgrad::Params::of(&network).len;
        let mut model = Model::new(network, vec![0.0; len]).unwrap();
        let mut data = wgrad::data::Synthetic::new(wgrad::data::Shape::Xor).generate(0).unwrap();
        data.inputs = Matrix::new(2, 2, vec![0.0, 100.0, 4.0, 300.0]).unwrap();
        let scaling = Scaling::fit(ScalingKind::MinMax, &data.inputs);
        scaling.apply(&mut data.inputs).unwrap();
        model.scaling = Some(scaling);
        data.targets = data.targets.select(&[0, 1]);

        let plane = Plane::around(&model, Some(&data));
        let near = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 1e-3 && (b - d).abs() < 1e-3;
        assert!(near(plane.x, (-0.32, 4.32)) && near(plane.y, (84.0, 316.0)), "{:?} {:?}", plane.x, plane.y);

        let plane = Plane { x: (0.0, 4.0), y: (100.0, 300.0) };
        let cells = plane.cells(&model, (2, 2)).unwrap();
        assert_eq!(cells.data, [0.25, 0.25, 0.75, 0.25, 0.25, 0.75, 0.75, 0.75]);
    }
}
