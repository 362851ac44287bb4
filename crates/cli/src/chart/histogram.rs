//! How often which numbers occur.

use super::{Chart, Drawn, LIGHT, Pen, cut, tick};
use plotters::coord::Shift;
use plotters::prelude::*;

/// A histogram.
pub struct Histogram {
    pub title: String,
    /// The least number and the largest.
    pub range: (f64, f64),
    /// How many numbers lie in each of as many equal parts of the range.
    pub counts: Vec<usize>,
    /// The number of the bars' colour.
    pub colour: usize,
}

/// The parts of a histogram.
const PARTS: usize = 48;

impl Histogram {
    /// Counts `values`, those that are finite.
    pub fn of(title: String, values: &[f32], colour: usize) -> Self {
        let finite = || values.iter().map(|&x| f64::from(x)).filter(|x| x.is_finite());
        let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        // A single number lies in the middle.
        let (low, high) = match high > low {
            true => (low, high),
            false if low.is_finite() => (low - 0.5, low + 0.5),
            false => (0.0, 1.0),
        };
        let mut counts = vec![0; PARTS];
        for x in finite() {
            counts[(((x - low) / (high - low) * PARTS as f64) as usize).min(PARTS - 1)] += 1;
        }
        Histogram { title, range: (low, high), counts, colour }
    }
}

impl Chart for Histogram {
    fn size(&self) -> (u32, u32) {
        (320, 200)
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: Pen) -> Drawn<DB> {
        let most = self.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let (low, high) = self.range;
        let mut chart = ChartBuilder::on(area)
            .caption(cut(&self.title, 44), pen.text(13, &LIGHT.ink))
            .margin(pen.px(8))
            .margin_right(pen.px(16))
            .x_label_area_size(pen.px(24))
            .y_label_area_size(pen.px(42))
            .build_cartesian_2d(low..high, 0.0..most * 1.05)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(LIGHT.grid)
            .light_line_style(TRANSPARENT)
            .axis_style(LIGHT.muted)
            .label_style(pen.text(11, &LIGHT.muted))
            .x_labels(5)
            .y_labels(4)
            .x_label_formatter(&|x| tick(*x))
            .y_label_formatter(&|y| tick(*y))
            .draw()?;
        let width = (high - low) / self.counts.len() as f64;
        let style = pen.series(self.colour).mix(0.8).filled();
        let bar = |(i, &count): (usize, &usize)| {
            let x = low + i as f64 * width;
            Rectangle::new([(x, 0.0), (x + width, count as f64)], style)
        };
        chart.draw_series(self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(bar))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_number_is_counted_in_its_part() {
        let histogram = Histogram::of(String::new(), &[0.0, 0.0, 48.0, 24.5, f32::NAN, f32::INFINITY], 0);
        assert_eq!((histogram.range, histogram.counts.iter().sum::<usize>()), ((0.0, 48.0), 4));
        assert_eq!((histogram.counts[0], histogram.counts[24], histogram.counts[47]), (2, 1, 1));
        assert_eq!(Histogram::of(String::new(), &[3.0; 5], 0).range, (2.5, 3.5));
        assert_eq!(Histogram::of(String::new(), &[], 0).range, (0.0, 1.0));
    }
}
