//! Charts as SVG and PNG. Each chart is data and draws itself on any of plotters' backends.

mod boundary;
mod cells;
mod histogram;
mod lines;

pub use boundary::{Boundary, Point, Surface};
pub use cells::Confusion;
pub use histogram::Histogram;
pub use lines::{Corner, Lines, Mark, Series};

use crate::sources::ending;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Once;
use wgrad::data::write_atomic;
use wgrad::{Error, Result};

/// What drawing on the backend `DB` gives.
type Drawn<DB> = std::result::Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// Something that can be drawn.
pub trait Chart {
    /// Width and height in pixels at scale 1.
    fn size(&self) -> (u32, u32);

    /// Draws it on all of `area`.
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: Pen) -> Drawn<DB>;
}

/// The colours of a chart.
pub struct Colours {
    pub ink: RGBColor,
    pub muted: RGBColor,
    pub grid: RGBColor,
    /// What a chart lies on.
    pub paper: RGBColor,
    /// Colours that stay apart for colour-blind eyes, mostly those of Okabe and Ito.
    pub series: [RGBColor; 8],
}

/// On white.
pub const LIGHT: Colours = Colours {
    ink: RGBColor(0x1b, 0x1f, 0x24),
    muted: RGBColor(0x5f, 0x67, 0x72),
    grid: RGBColor(0xe3, 0xe6, 0xea),
    // Not quite white, which stays white by night.
    paper: RGBColor(0xfe, 0xfe, 0xfe),
    series: [
        RGBColor(0x00, 0x72, 0xb2),
        RGBColor(0xd5, 0x5e, 0x00),
        RGBColor(0x00, 0x8f, 0x68),
        RGBColor(0xc0, 0x5a, 0x94),
        RGBColor(0xc9, 0x8a, 0x00),
        RGBColor(0x3f, 0xa3, 0xdc),
        RGBColor(0x7a, 0x4f, 0xb8),
        RGBColor(0x7d, 0x82, 0x8a),
    ],
};

/// What a chart is drawn with.
#[derive(Clone, Copy)]
pub struct Pen {
    /// Pixels of the picture to one of the chart.
    scale: u32,
}

impl Pen {
    fn px(self, size: u32) -> u32 {
        size * self.scale
    }

    fn text<'a>(self, size: u32, colour: &'a RGBColor) -> TextStyle<'a> {
        TextStyle::from(("sans-serif", self.px(size)).into_font()).color(colour)
    }

    fn series(self, i: usize) -> RGBColor {
        LIGHT.series[i % LIGHT.series.len()]
    }
}

/// Latin, Greek and Cyrillic letters of DejaVu Sans; see the folder's README.
static FONT: &[u8] = include_bytes!("../../fonts/DejaVuSans.ttf");

/// Text is measured and drawn with a font of our own: machines without a screen have none.
fn with_font() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // It fails only for bytes that are no font.
        let _ = register_font("sans-serif", FontStyle::Normal, FONT);
    });
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Config(format!("the chart cannot be drawn: {error}"))
}

/// The chart as SVG, on no background.
pub fn svg(chart: &impl Chart) -> Result<String> {
    with_font();
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, chart.size()).into_drawing_area();
        chart.draw(&area, Pen { scale: 1 }).map_err(failed)?;
        area.present().map_err(failed)?;
    }
    // Cells that touch must not show seams where a browser scales them.
    Ok(text.replace("<rect ", "<rect shape-rendering=\"crispEdges\" "))
}

/// The chart as PNG, on white, with two pixels to one.
fn png(chart: &impl Chart) -> Result<Vec<u8>> {
    with_font();
    let scale = 2;
    let (width, height) = (chart.size().0 * scale, chart.size().1 * scale);
    let mut pixels = vec![255; (width * height * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        chart.draw(&area, Pen { scale }).map_err(failed)?;
        area.present().map_err(failed)?;
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

/// A picture's file: its name says which format.
#[derive(Clone, Debug)]
pub struct PictureFile {
    pub path: PathBuf,
    png: bool,
}

impl FromStr for PictureFile {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let path = PathBuf::from(text);
        match ending(&path).as_str() {
            "png" => Ok(PictureFile { path, png: true }),
            "svg" => Ok(PictureFile { path, png: false }),
            _ => Err(Error::Config(format!("expected the name of a .png or .svg file, found {text:?}"))),
        }
    }
}

impl PictureFile {
    /// Draws `chart` into the file.
    pub fn save(&self, chart: &impl Chart) -> Result<()> {
        if self.png {
            let bytes = png(chart)?;
            return write_atomic(&self.path, |out| out.write_all(&bytes));
        }
        let (width, height) = chart.size();
        let on_white = format!("<rect width=\"{width}\" height=\"{height}\" fill=\"#FFFFFF\"/>\n");
        let text = svg(chart)?;
        write_atomic(&self.path, |out| write_behind_root(out, &text, &on_white))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Writes `svg` with `first` as its first element.
fn write_behind_root(out: &mut dyn Write, svg: &str, first: &str) -> io::Result<()> {
    let at = svg.find("<svg").and_then(|root| Some(root + svg[root..].find('>')? + 1)).unwrap_or(0);
    write!(out, "{}\n{first}{}", &svg[..at], svg[at..].trim_start())
}

/// At most `most` characters of `text`.
fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// A number on an axis.
fn tick(x: f64) -> String {
    crate::words::digits(if x.abs() < 1e-12 { 0.0 } else { x })
}
