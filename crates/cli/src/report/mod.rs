//! A run as one page of HTML that needs nothing else: pictures are inside, and so is its style.

use crate::chart::{Chart, LIGHT, svg};
use crate::figures::{self, MEASURES};
use crate::judged::Judged;
use crate::picture::escaped;
use crate::tuning::TuneArgs;
use crate::watch::log::CONFIG;
use crate::watch::runs::{History, notes};
use crate::words::short;
use serde_json::Value;
use std::fs;
use std::path::Path;
use wgrad::metrics::{Classification, Metrics, Regression};
use wgrad::{Device, Error, Result};

/// What a report is made of.
pub struct Report {
    name: String,
    notes: Value,
    history: History,
    configuration: String,
    /// The model with its data, or why it is not there.
    judged: Result<Judged>,
}

/// Of more tensors the first and the last ones are shown.
const MOST_TENSORS: usize = 24;

impl Report {
    /// Reads the run in `folder`.
    pub fn read(folder: &Path) -> Result<Report> {
        let history = History::read(folder)?;
        let path = folder.join(CONFIG);
        let configuration =
            fs::read_to_string(&path).map_err(|source| Error::Io { action: "read", path: path.clone(), source })?;
        let judged = Judged::of_run(folder);
        Ok(Report { name: history.name.clone(), notes: notes(folder)?, history, configuration, judged })
    }

    /// Why something about the model or its data is missing, where it is.
    pub fn missing(&self) -> Option<String> {
        self.judged.as_ref().err().map(|error| error.to_string())
    }

    /// The page. What concerns the model is computed on `device`.
    pub fn html(self, device: &Device, tune: TuneArgs) -> Result<String> {
        let mut body = self.head();
        body += &self.curves()?;
        match &self.judged {
            Ok(judged) => body += &model(judged, device, tune)?,
            Err(error) => {
                let why = escaped(&error.to_string());
                let what = "The confusion matrix, the boundary and the histograms are missing";
                body += &section("Model", &format!("<p class=\"missing\">{what}: {why}.</p>"));
            }
        }
        body += &section("Configuration", &format!("<pre>{}</pre>", escaped(self.configuration.trim())));
        let title = escaped(&format!("{}: a training run", self.name));
        Ok(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
            include_str!("style.css")
        ))
    }

    /// Name, results and circumstances.
    fn head(&self) -> String {
        let text = |key: &str| self.notes[key].as_str().map(str::to_owned);
        let number = |key: &str| self.notes[key].as_f64();
        let cards = [
            ("test accuracy", number("test_accuracy")),
            ("test R²", number("test_r_squared")),
            ("test loss", number("test_loss")),
            ("validation accuracy", number("validation_accuracy")),
            ("validation R²", number("validation_r_squared")),
            ("validation loss", number("validation_loss")),
            ("training loss", number("final_loss")),
            ("epochs", number("epochs")),
            ("seconds", number("seconds")),
        ];
        let card = |(name, value): (&str, f64)| {
            let value = match name {
                "epochs" => format!("{value:.0}"),
                _ => short(value),
            };
            format!("<div class=\"card\"><b>{value}</b><span>{name}</span></div>\n")
        };
        let cards: String = cards.into_iter().filter_map(|(name, value)| Some(card((name, value?)))).collect();
        let rows = |part: &str| self.notes["rows"][part].as_u64().map(|rows| format!("{rows} {part}"));
        let rows: Vec<_> = ["train", "validation", "test"].into_iter().filter_map(rows).collect();
        let facts = [
            ("data", text("data")),
            ("rows", (!rows.is_empty()).then(|| rows.join(", "))),
            ("network", text("network")),
            ("parameters", self.notes["parameters"].as_u64().map(|count| count.to_string())),
            ("training", text("training")),
            ("device", text("device")),
            ("planner", text("planner")),
            ("state", text("state")),
            ("wgrad", text("wgrad")),
        ];
        let fact = |(name, value): (&str, String)| format!("<dt>{name}</dt><dd>{}</dd>\n", escaped(&value));
        let facts: String = facts.into_iter().filter_map(|(name, value)| Some(fact((name, value?)))).collect();
        format!("<h1>{}</h1>\n<div class=\"cards\">\n{cards}</div>\n<dl>\n{facts}</dl>\n", escaped(&self.name))
    }

    fn curves(&self) -> Result<String> {
        let runs = std::slice::from_ref(&self.history);
        let mut figures = String::new();
        for measure in &MEASURES {
            if let Some(lines) = figures::curves(runs, measure, false) {
                figures += &figure(&lines, "wide")?;
            }
        }
        let missing = "<p class=\"missing\">No epoch was completed.</p>\n".to_owned();
        Ok(section("Curves", if figures.is_empty() { &missing } else { &figures }))
    }
}

/// What is known from the model and the data it was not trained on.
fn model(judged: &Judged, device: &Device, tune: TuneArgs) -> Result<String> {
    let mut text = String::new();
    let equation = matches!(judged.model.loss, Some(wgrad::Loss::Equation(_)));
    if let (Some(data), false) = (&judged.data, equation) {
        let outputs = judged.outputs(device, &data.inputs, tune)?;
        let metrics = Metrics::of(data, &outputs, judged.model.loss)?;
        let mut parts = table(&metrics);
        if let Some(confusion) = figures::confusion(&metrics, &judged.rows) {
            parts += &figure(&confusion, "square")?;
        }
        // Without rows of two classes there is no curve, and with many classes no chart that could be read.
        if let Ok(roc) = figures::roc(data, &outputs, &judged.model, &judged.rows) {
            parts += &figure(&roc, "wide")?;
        }
        text += &section(&format!("Answers on {}", judged.rows), &parts);
    }
    if figures::is_planar(&judged.model.network) {
        text += &section("Decision boundary", &figure(&figures::boundary(judged, device, tune)?, "wide")?);
    }
    text += &section("Weights", &histograms(&figures::weights(&judged.model))?);
    if let Some(data) = &judged.data {
        text += &section("Activations", &histograms(&figures::activations(&judged.model, device, &data.inputs)?)?);
    }
    Ok(text)
}

fn histograms(all: &[crate::chart::Histogram]) -> Result<String> {
    let half = MOST_TENSORS / 2;
    let left_out = all.len().saturating_sub(MOST_TENSORS);
    let shown = all.iter().enumerate().filter(|(i, _)| left_out == 0 || *i < half || *i >= all.len() - half);
    let mut text = "<div class=\"small\">\n".to_owned();
    for (_, histogram) in shown {
        text += &figure(histogram, "histogram")?;
    }
    text += "</div>\n";
    if left_out > 0 {
        text += &format!("<p>{left_out} in the middle are left out.</p>\n");
    }
    Ok(text)
}

fn section(title: &str, text: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{text}</section>\n", escaped(title))
}

/// A chart whose colours are those of the page, by day and by night.
fn figure(chart: &impl Chart, class: &str) -> Result<String> {
    let mut text = svg(chart)?;
    // The XML declaration belongs to files.
    if let Some(root) = text.find("<svg") {
        text.drain(..root);
    }
    let named = [("ink", LIGHT.ink), ("muted", LIGHT.muted), ("grid", LIGHT.grid), ("paper", LIGHT.paper)];
    let series = LIGHT.series.iter().enumerate().map(|(i, colour)| (format!("series-{i}"), *colour));
    for (name, colour) in named.into_iter().map(|(name, colour)| (name.to_owned(), colour)).chain(series) {
        let plotters::style::RGBColor(r, g, b) = colour;
        text = text.replace(&format!("\"#{r:02X}{g:02X}{b:02X}\""), &format!("\"var(--{name})\""));
    }
    Ok(format!("<figure class=\"{class}\">{}</figure>\n", text.trim_end()))
}

/// The metrics as a table.
fn table(metrics: &Metrics) -> String {
    let row = |cells: &[String], tag: &str| {
        let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let option = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{x:.4}"));
    let head = |names: &[&str]| row(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), "th");
    let (summary, rows) = match metrics {
        Metrics::Classification(Classification {
            accuracy,
            roc_auc,
            log_loss,
            classes,
            macro_average,
            weighted_average,
            ..
        }) => {
            let scores = |name: &str, scores: &wgrad::metrics::Scores, rows: Option<usize>| {
                let numbers = [scores.precision, scores.recall, scores.f1].map(|x| format!("{x:.4}"));
                let rows = rows.map_or(String::new(), |rows| rows.to_string());
                row(&[&[name.to_owned()][..], &numbers, &[rows]].concat(), "td")
            };
            let mut rows = head(&["class", "precision", "recall", "F1", "rows"]);
            for class in classes.iter().take(100) {
                rows += &scores(&class.name, &class.scores, Some(class.rows));
            }
            rows += &scores("macro average", macro_average, None);
            rows += &scores("weighted average", weighted_average, None);
            let summary = [("accuracy", Some(*accuracy)), ("ROC-AUC", *roc_auc), ("log loss", *log_loss)];
            let summary: Vec<_> = summary.iter().filter_map(|(name, x)| Some(format!("{name} {:.4}", (*x)?))).collect();
            (summary.join(", "), rows)
        }
        Metrics::Regression(Regression { all, outputs }) => {
            let scores = |name: &str, scores: &wgrad::metrics::RegressionScores| {
                let numbers = [short(scores.mae), short(scores.rmse), option(scores.explained_variance)];
                row(&[&[name.to_owned(), option(scores.r_squared)][..], &numbers].concat(), "td")
            };
            let mut rows = head(&["output", "R²", "MAE", "RMSE", "explained variance"]);
            for output in outputs.iter().take(100) {
                rows += &scores(&output.name, &output.scores);
            }
            if outputs.len() > 1 {
                rows += &scores("all", all);
            }
            (String::new(), rows)
        }
    };
    let summary = if summary.is_empty() { summary } else { format!("<p>{summary}</p>\n") };
    format!("{summary}<div class=\"scroll\"><table>\n{rows}</table></div>\n")
}
