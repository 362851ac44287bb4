//! Lines over numbers: curves of training, ROC, functions.

use super::{Chart, Drawn, LIGHT, Pen, cut, tick};
use plotters::coord::Shift;
use plotters::prelude::*;

/// One line.
pub struct Series {
    pub name: String,
    /// In order of x; what is not finite interrupts the line.
    pub points: Vec<(f64, f64)>,
    /// The number of its colour.
    pub colour: usize,
    pub dashed: bool,
}

/// A place on the x-axis to be seen.
pub struct Mark {
    pub x: f64,
    pub name: String,
    pub colour: usize,
}

/// A chart of lines.
pub struct Lines {
    pub title: String,
    pub x: String,
    pub y: String,
    pub series: Vec<Series>,
    pub marks: Vec<Mark>,
    pub log_x: bool,
    pub log_y: bool,
    /// The range of y, where the numbers do not say it.
    pub range: Option<(f64, f64)>,
    pub legend: Corner,
}

/// Where names stand.
#[derive(Clone, Copy)]
pub enum Corner {
    UpperLeft,
    UpperRight,
    LowerRight,
}

impl Lines {
    /// A chart without lines yet, with plain axes.
    pub fn new(title: &str, x: &str, y: &str) -> Self {
        let (title, x, y) = (title.to_owned(), x.to_owned(), y.to_owned());
        Lines {
            title,
            x,
            y,
            series: Vec::new(),
            marks: Vec::new(),
            log_x: false,
            log_y: false,
            range: None,
            legend: Corner::UpperRight,
        }
    }

    /// Adds a line in the next colour.
    pub fn line(mut self, name: &str, points: Vec<(f64, f64)>) -> Self {
        let colour = self.series.len();
        // Where colours come again, dashes tell lines apart.
        let dashed = colour >= LIGHT.series.len();
        self.series.push(Series { name: name.to_owned(), points, colour, dashed });
        self
    }

    /// The parts of a line, where its logarithms are to be drawn those of its numbers.
    fn parts(&self, series: &Series) -> Vec<Vec<(f64, f64)>> {
        let on = |log: bool, x: f64| if log { x.log10() } else { x };
        let points = series.points.iter().map(|&(x, y)| (on(self.log_x, x), on(self.log_y, y)));
        let points: Vec<_> = points.collect();
        let finite = |point: &(f64, f64)| point.0.is_finite() && point.1.is_finite();
        points.split(|point| !finite(point)).filter(|part| !part.is_empty()).map(<[_]>::to_vec).collect()
    }
}

/// The least and the largest of `values`, with some room around them; something to draw in any case.
fn span(values: impl Iterator<Item = f64>, room: f64) -> (f64, f64) {
    // So that their difference is finite too.
    let values = values.map(|x| x.clamp(-1e300, 1e300));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    match high - low {
        width if width > 1e-9 * high.abs().max(low.abs()) && width.is_finite() => {
            (low - room * width, high + room * width)
        }
        _ if low.is_finite() => (low - 0.5 * low.abs().max(1e-3), low + 0.5 * low.abs().max(1e-3)),
        _ => (0.0, 1.0),
    }
}

impl Chart for Lines {
    fn size(&self) -> (u32, u32) {
        (560, 350)
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: Pen) -> Drawn<DB> {
        let parts: Vec<_> = self.series.iter().map(|series| (series, self.parts(series))).collect();
        let all = || parts.iter().flat_map(|(_, parts)| parts.iter().flatten());
        let marks = self.marks.iter().map(|mark| if self.log_x { mark.x.log10() } else { mark.x });
        let x = span(all().map(|point| point.0).chain(marks.clone()).filter(|x| x.is_finite()), 0.0);
        let y = self.range.unwrap_or_else(|| span(all().map(|point| point.1), 0.06));
        let mut chart = ChartBuilder::on(area)
            .caption(cut(&self.title, 70), pen.text(17, &LIGHT.ink))
            .margin(pen.px(12))
            .x_label_area_size(pen.px(44))
            .y_label_area_size(pen.px(64))
            .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
        let label = |log: bool| {
            move |value: &f64| match log {
                true if value.fract().abs() < 1e-9 => format!("1e{value:.0}"),
                true => tick_log(10f64.powf(*value)),
                false => tick(*value),
            }
        };
        chart
            .configure_mesh()
            .bold_line_style(LIGHT.grid)
            .light_line_style(TRANSPARENT)
            .axis_style(LIGHT.muted)
            .label_style(pen.text(12, &LIGHT.muted))
            .axis_desc_style(pen.text(13, &LIGHT.ink))
            .x_desc(self.x.as_str())
            .y_desc(self.y.as_str())
            .x_label_formatter(&label(self.log_x))
            .y_label_formatter(&label(self.log_y))
            .x_labels(9)
            .y_labels(7)
            .draw()?;
        for (mark, x) in self.marks.iter().zip(marks) {
            let style = pen.series(mark.colour).stroke_width(pen.px(1));
            let line = [(x, y.0), (x, y.1)];
            chart
                .draw_series(DashedLineSeries::new(line, pen.px(4), pen.px(4), style))?
                .label(mark.name.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + pen.px(16) as i32, y)], style));
        }
        for (series, parts) in &parts {
            let style = pen.series(series.colour).stroke_width(pen.px(2));
            for part in parts {
                if let [point] = part[..] {
                    chart.draw_series([Circle::new(point, pen.px(3), style.filled())])?;
                } else if series.dashed {
                    let line = DashedLineSeries::new(part.iter().copied(), pen.px(6), pen.px(4), style);
                    chart.draw_series(line)?;
                } else {
                    chart.draw_series(LineSeries::new(part.iter().copied(), style))?;
                }
            }
            // A line that has no point has its name all the same.
            let dashed = series.dashed;
            chart.draw_series(std::iter::empty::<PathElement<(f64, f64)>>())?.label(cut(&series.name, 40)).legend(
                move |(x, y)| {
                    let end = x + pen.px(if dashed { 9 } else { 16 }) as i32;
                    PathElement::new([(x, y), (end, y)], style)
                },
            );
        }
        if self.series.len() + self.marks.len() > 1 {
            chart
                .configure_series_labels()
                .label_font(pen.text(12, &LIGHT.ink))
                .background_style(LIGHT.paper.mix(0.85))
                .legend_area_size(pen.px(24))
                .margin(pen.px(6))
                .position(match self.legend {
                    Corner::UpperLeft => SeriesLabelPosition::UpperLeft,
                    Corner::UpperRight => SeriesLabelPosition::UpperRight,
                    Corner::LowerRight => SeriesLabelPosition::LowerRight,
                })
                .draw()?;
        }
        Ok(())
    }
}

/// A power of ten between two decades.
fn tick_log(x: f64) -> String {
    if (1e-2..1e4).contains(&x) { tick(format!("{x:.0e}").parse().unwrap_or(x)) } else { format!("{x:.0e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_range_to_draw_in() {
        let of = |values: &[f64]| span(values.iter().copied(), 0.1);
        assert_eq!(of(&[0.0, 10.0]), (-1.0, 11.0));
        for values in [&[][..], &[3.0], &[0.0, 0.0], &[f64::MAX, -f64::MAX]] {
            let (low, high) = of(values);
            assert!(low < high && low.is_finite() && high.is_finite(), "{values:?}: {low} to {high}");
        }
    }

    #[test]
    fn what_is_not_finite_interrupts_a_line() {
        let mut lines = Lines::new("", "", "").line("a", vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 100.0), (3.0, 0.0)]);
        assert_eq!(lines.parts(&lines.series[0]), [vec![(0.0, 1.0)], vec![(2.0, 100.0), (3.0, 0.0)]]);
        lines.log_y = true;
        assert_eq!(lines.parts(&lines.series[0]), [vec![(0.0, 0.0)], vec![(2.0, 2.0)]]);
    }
}
