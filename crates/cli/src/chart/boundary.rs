//! What a network with two inputs answers over the plane.

use super::{Chart, Drawn, LIGHT, Pen, cut, tick};
use plotters::coord::Shift;
use plotters::prelude::*;

/// A row of the data.
pub struct Point {
    pub x: f64,
    pub y: f64,
    /// Its class; `None` for numbers.
    pub class: Option<usize>,
}

/// The answers on a grid, row after row from the least y on.
pub enum Surface {
    /// The class, and how sure the network is: 0 at a tie, 1 at certainty.
    Classes(Vec<(usize, f64)>),
    /// A number.
    Numbers(Vec<f64>),
}

/// The answers over a part of the plane, with the data on top.
pub struct Boundary {
    pub title: String,
    pub inputs: [String; 2],
    /// The names of the classes; empty for numbers.
    pub classes: Vec<String>,
    pub x: (f64, f64),
    pub y: (f64, f64),
    /// Columns and rows of the grid, of whose cells the answers are for the middles.
    pub grid: (usize, usize),
    pub surface: Surface,
    pub points: Vec<Point>,
}

/// Shades of a colour.
const SHADES: f64 = 24.0;

/// So many points are drawn at most: every n-th one.
const MOST_POINTS: usize = 1500;

impl Boundary {
    /// The colour's number and its strength in each cell.
    fn cells(&self) -> Vec<(usize, f64)> {
        let shade = |x: f64| (x.clamp(0.0, 1.0) * SHADES).round() / SHADES;
        match &self.surface {
            Surface::Classes(cells) => cells.iter().map(|&(class, sure)| (class, shade(0.12 + 0.4 * sure))).collect(),
            Surface::Numbers(cells) => {
                let finite = || cells.iter().copied().filter(|x| x.is_finite());
                let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
                // Below the middle in one colour, above it in the other.
                let cell = |&x: &f64| {
                    let place = 2.0 * (x - low) / (high - low).max(f64::MIN_POSITIVE) - 1.0;
                    (usize::from(place > 0.0), shade(if x.is_finite() { 0.85 * place.abs() } else { 0.0 }))
                };
                cells.iter().map(cell).collect()
            }
        }
    }

    /// What the colours mean.
    fn legend(&self) -> Vec<(String, usize)> {
        match &self.surface {
            Surface::Classes(_) => self.classes.iter().take(10).enumerate().map(|(i, c)| (cut(c, 16), i)).collect(),
            Surface::Numbers(cells) => {
                let finite = || cells.iter().copied().filter(|x| x.is_finite());
                let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
                vec![
                    (format!("towards {}", crate::words::short(high)), 1),
                    (format!("towards {}", crate::words::short(low)), 0),
                ]
            }
        }
    }
}

impl Chart for Boundary {
    fn size(&self) -> (u32, u32) {
        (600, 480)
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: Pen) -> Drawn<DB> {
        let mut chart = ChartBuilder::on(area)
            .caption(cut(&self.title, 60), pen.text(17, &LIGHT.ink))
            .margin(pen.px(12))
            .x_label_area_size(pen.px(44))
            .y_label_area_size(pen.px(60))
            .build_cartesian_2d(self.x.0..self.x.1, self.y.0..self.y.1)?;
        let (columns, rows) = self.grid;
        let width = (self.x.1 - self.x.0) / columns as f64;
        let height = (self.y.1 - self.y.0) / rows as f64;
        let cells = self.cells();
        for (row, cells) in cells.chunks(columns).enumerate() {
            let y = self.y.0 + row as f64 * height;
            let mut first = 0;
            for run in cells.chunk_by(|a, b| a == b) {
                let (colour, strength) = run[0];
                let x = self.x.0 + first as f64 * width;
                let corners = [(x, y), (x + run.len() as f64 * width, y + height)];
                first += run.len();
                if strength > 0.0 {
                    chart.draw_series([Rectangle::new(corners, pen.series(colour).mix(strength).filled())])?;
                }
            }
        }
        chart
            .configure_mesh()
            .disable_mesh()
            .axis_style(LIGHT.muted)
            .label_style(pen.text(12, &LIGHT.muted))
            .axis_desc_style(pen.text(13, &LIGHT.ink))
            .x_desc(cut(&self.inputs[0], 40))
            .y_desc(cut(&self.inputs[1], 40))
            .x_labels(8)
            .y_labels(7)
            .x_label_formatter(&|x| tick(*x))
            .y_label_formatter(&|y| tick(*y))
            .draw()?;
        for point in self.points.iter().step_by(self.points.len().div_ceil(MOST_POINTS).max(1)) {
            let colour = point.class.map_or(LIGHT.ink, |class| pen.series(class));
            chart.draw_series([Circle::new((point.x, point.y), pen.px(3), colour.filled())])?;
            chart.draw_series([Circle::new((point.x, point.y), pen.px(3), WHITE.mix(0.8))])?;
        }
        for (name, colour) in self.legend() {
            let style = pen.series(colour).filled();
            chart
                .draw_series(std::iter::empty::<PathElement<(f64, f64)>>())?
                .label(name)
                .legend(move |(x, y)| Circle::new((x + pen.px(8) as i32, y), pen.px(5), style));
        }
        chart
            .configure_series_labels()
            .label_font(pen.text(12, &LIGHT.ink))
            .background_style(LIGHT.paper.mix(0.85))
            .legend_area_size(pen.px(20))
            .margin(pen.px(6))
            .position(SeriesLabelPosition::UpperRight)
            .draw()
    }
}
