//! A folder with a folder of PNG images for each class; or with images alone.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use png::{ColorType, Decoder, Transformations};

use super::dense::numbered;
use crate::data::input::Input;
use crate::data::table::{Column, Reader, Table, Tables, Texts, part};
use crate::{Error, Result};

pub fn open(input: &Input) -> Result<Reader> {
    let mut files: Vec<(PathBuf, Option<String>)> = Vec::new();
    let entries = entries(input.path())?;
    for folder in entries.iter().filter(|path| path.is_dir()) {
        let class = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.extend(images(&self::entries(folder)?).map(|path| (path, Some(class.clone()))));
    }
    let classes = !files.is_empty();
    match (classes, images(&entries).next()) {
        (true, Some(stray)) => {
            let what = "found beside folders of images; put it into the folder of its class";
            return Err(Error::data(stray.display().to_string(), what));
        }
        (true, None) => {}
        (false, _) => files.extend(images(&entries).map(|path| (path, None))),
    }
    let Some((first, _)) = files.first() else {
        return Err(input.error("expected a folder of PNG images for each class, found no image"));
    };
    let image = decode(first)?;
    let cols = image.pixels.len();
    let mut names = numbered(cols);
    if classes {
        names.push("class".into());
    }
    let answers = Some(if classes { vec![cols] } else { Vec::new() });
    let like = (first.clone(), image.shape);
    Ok(Reader { names, answers, tables: Box::new(Images { files, done: 0, like }) })
}

/// What is in a folder, in the order of the names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |error| Error::io("read", folder)(error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        paths.push(entry.map_err(io)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn images(paths: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    let is_png = |path: &&PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    paths.iter().filter(is_png).cloned()
}

struct Images {
    /// With the class of each.
    files: Vec<(PathBuf, Option<String>)>,
    done: usize,
    /// The first image, and the shape that all have to have.
    like: (PathBuf, Shape),
}

/// Width, height and channels.
type Shape = (u32, u32, usize);

struct Image {
    shape: Shape,
    /// From 0 to 255: row after row, the channels of a pixel one behind the other.
    pixels: Vec<u8>,
}

impl Tables for Images {
    fn next(&mut self) -> Result<Option<Table>> {
        let (width, height, channels) = self.like.1;
        let cols = width as usize * height as usize * channels;
        let files = &self.files[self.done..];
        let files = &files[..files.len().min(part(cols))];
        if files.is_empty() {
            return Ok(None);
        }
        let mut columns = vec![Vec::with_capacity(files.len()); cols];
        let mut classes = Texts::default();
        for (path, class) in files {
            let image = decode(path)?;
            if image.shape != self.like.1 {
                let text =
                    |(width, height, channels): Shape| format!("{width} x {height} pixels of {channels} channel(s)");
                let expected = format!("expected {}, as in {}", text(self.like.1), self.like.0.display());
                let what = format!("{expected}, found {}; make all images alike", text(image.shape));
                return Err(Error::data(path.display().to_string(), what));
            }
            columns.iter_mut().zip(&image.pixels).for_each(|(column, &pixel)| column.push(f64::from(pixel)));
            class.iter().for_each(|class| classes.push(class));
        }
        self.done += files.len();
        let labelled = files[0].1.is_some();
        let columns = columns.into_iter().map(Column::Numbers);
        let columns = columns.chain(labelled.then_some(Column::Texts(classes))).collect();
        Ok(Some(Table { rows: files.len(), columns, at: Vec::new() }))
    }
}

/// Reads an image in 8 bits a channel, grey or RGB; what says how transparent it is is left out.
fn decode(path: &Path) -> Result<Image> {
    let place = || path.display().to_string();
    let damaged = |error: png::DecodingError| match error {
        png::DecodingError::IoError(error) if error.raw_os_error().is_some() => Error::io("read", path)(error),
        error => Error::data(place(), format!("cannot be read as a PNG image ({error}); write it again")),
    };
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut decoder = Decoder::new(BufReader::new(file));
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(damaged)?;
    let size = reader.output_buffer_size().ok_or_else(|| Error::data(place(), "the image is too large"))?;
    let mut bytes = vec![0; size];
    let info = reader.next_frame(&mut bytes).map_err(damaged)?;
    bytes.truncate(info.buffer_size());
    reader.finish().map_err(damaged)?;
    let (kept, channels) = match info.color_type {
        ColorType::Grayscale | ColorType::Indexed => (1, 1),
        ColorType::GrayscaleAlpha => (1, 2),
        ColorType::Rgb => (3, 3),
        ColorType::Rgba => (3, 4),
    };
    let pixels = bytes.chunks_exact(channels).flat_map(|pixel| &pixel[..kept]).copied().collect();
    Ok(Image { shape: (info.width, info.height, kept), pixels })
}
