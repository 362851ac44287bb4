//! What is on the screen: a function of the state of the run.

use crate::chart::Surface;
use crate::watch::Record;
use crate::words::{printable, short, thousands};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph};
use std::time::{Duration, Instant};

/// All that is drawn.
pub struct State {
    title: String,
    pub epochs: usize,
    /// The epoch that is being trained, counted from 1.
    pub epoch: usize,
    /// The part of it that is done.
    part: f64,
    /// The latest loss known.
    loss: f64,
    classes: Vec<String>,
    records: Vec<Record>,
    started: Instant,
    pub paused_for: Duration,
    /// Since when the run is paused, where it is.
    pub paused: Option<Instant>,
    pub learning_rate: f32,
    pub message: String,
    pub confusion: Option<Vec<Vec<usize>>>,
    pub boundary: Option<Answers>,
}

/// What a network with two inputs answers on a grid of columns and rows.
pub struct Answers {
    pub grid: (usize, usize),
    pub surface: Surface,
}

const HELP: &str = "space pause   s save   l lower the rate   q stop";
const COLOURS: [Color; 8] = [
    Color::Blue,
    Color::Red,
    Color::Green,
    Color::Magenta,
    Color::Yellow,
    Color::Cyan,
    Color::LightBlue,
    Color::LightRed,
];

impl State {
    pub fn new(title: String, epochs: usize, classes: Vec<String>) -> Self {
        State {
            title: printable(&title),
            epochs,
            epoch: 1,
            part: 0.0,
            loss: f64::NAN,
            classes: classes.iter().map(|class| printable(class)).collect(),
            records: Vec::new(),
            started: Instant::now(),
            paused_for: Duration::ZERO,
            paused: None,
            learning_rate: 0.0,
            message: String::new(),
            confusion: None,
            boundary: None,
        }
    }

    /// Notes that `part` of `epoch` is done.
    pub fn progress(&mut self, epoch: usize, part: f64, loss: f64) {
        (self.epoch, self.part, self.loss) = (epoch, part, loss);
    }

    /// Notes what is known after an epoch.
    pub fn record(&mut self, record: Record) {
        (self.epoch, self.part, self.loss) = (record.epoch, 1.0, record.loss);
        self.records.push(record);
    }

    fn done(&self) -> f64 {
        ((self.epoch - 1) as f64 + self.part) / self.epochs as f64
    }

    fn left(&self) -> Duration {
        let paused = self.paused_for + self.paused.map_or(Duration::ZERO, |since| since.elapsed());
        let trained = self.started.elapsed().saturating_sub(paused).as_secs_f64();
        let done = self.done().max(1e-9);
        Duration::from_secs((trained / done * (1.0 - done)).clamp(0.0, 1e9) as u64)
    }

    fn series(&self, of: impl Fn(&Record) -> Option<f64>) -> Vec<(f64, f64)> {
        let point = |record: &Record| Some((record.epoch as f64, of(record)?));
        self.records.iter().filter_map(point).filter(|point| point.1.is_finite()).collect()
    }
}

/// Draws `state` on the whole of `frame`.
pub fn draw(frame: &mut Frame<'_>, state: &State) {
    let rows = [
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ];
    let [title, gauge, numbers, middle, help] = Layout::vertical(rows).areas(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(Line::from(vec![Span::styled("wgrad ", bold), Span::raw(state.title.as_str())]), title);
    let label = format!("epoch {}/{}  {:#} left", state.epoch, state.epochs, indicatif::HumanDuration(state.left()));
    frame.render_widget(
        Gauge::default().ratio(state.done().clamp(0.0, 1.0)).label(label).gauge_style(Style::new().fg(Color::Blue)),
        gauge,
    );
    frame.render_widget(Line::raw(summary(state)), numbers);
    let last = match (state.paused, state.message.as_str()) {
        (Some(_), _) => {
            Line::styled("PAUSED   space goes on   s save   l lower the rate   q stop", bold.fg(Color::Yellow))
        }
        (None, "") => Line::raw(HELP),
        (None, message) => Line::raw(format!("{} | {HELP}", printable(message))),
    };
    frame.render_widget(last, help);
    if middle.height < 6 || middle.width < 30 {
        return;
    }
    if middle.width < 60 {
        curves(frame, middle, state);
        return;
    }
    let side = side_width(state).min(middle.width / 2);
    let [left, right] = Layout::horizontal([Constraint::Min(0), Constraint::Length(side)]).areas(middle);
    curves(frame, left, state);
    side_panels(frame, right, state);
}

fn summary(state: &State) -> String {
    let mut parts = vec![format!("loss {}", short(state.loss))];
    if let Some(record) = state.records.last() {
        let named = [
            ("validation", record.validation_loss.map(short)),
            ("accuracy", record.accuracy.map(|x| format!("{x:.4}"))),
            ("R²", record.r_squared.map(|x| format!("{x:.4}"))),
        ];
        parts.extend(named.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))));
    }
    parts.push(format!("lr {:.2e}", state.learning_rate));
    if let Some(record) = state.records.last() {
        parts.push(format!("{} samples/s", thousands(record.samples_per_second)));
    }
    parts.join("  ")
}

/// The loss, and below it the measure of the task.
fn curves(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let loss = state.series(|record| Some(record.loss));
    let validation = state.series(|record| record.validation_loss);
    let accuracy = state.series(|record| record.accuracy);
    let (name, measure) = match accuracy.is_empty() {
        true => ("R²", state.series(|record| record.r_squared)),
        false => ("accuracy", accuracy),
    };
    let both = [
        Curve { name: "training", points: loss, colour: COLOURS[0] },
        Curve { name: "validation", points: validation, colour: COLOURS[1] },
    ];
    if measure.is_empty() || area.height < 12 {
        chart(frame, area, "loss", &both);
        return;
    }
    let [top, bottom] = Layout::vertical([Constraint::Percentage(55), Constraint::Percentage(45)]).areas(area);
    chart(frame, top, "loss", &both);
    chart(frame, bottom, name, &[Curve { name: "validation", points: measure, colour: COLOURS[2] }]);
}

/// A line of a chart.
struct Curve {
    name: &'static str,
    points: Vec<(f64, f64)>,
    colour: Color,
}

fn chart(frame: &mut Frame<'_>, area: Rect, title: &str, lines: &[Curve]) {
    let all = || lines.iter().flat_map(|line| &line.points);
    let fold = |of: fn(&(f64, f64)) -> f64| {
        all().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    };
    let (mut x, mut y) = (fold(|point| point.0), fold(|point| point.1));
    if x.0 > x.1 {
        (x, y) = ((0.0, 1.0), (0.0, 1.0));
    }
    x.1 = x.1.max(x.0 + 1.0);
    let room = if y.1 > y.0 { 0.05 * (y.1 - y.0) } else { 0.5 * y.0.abs().max(1e-3) };
    let bounds = [y.0 - room, y.1 + room];
    let datasets = lines.iter().map(|Curve { points, colour, .. }| {
        let dataset = Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line);
        dataset.style(Style::new().fg(*colour)).data(points)
    });
    let names =
        lines.iter().map(|Curve { name, colour, .. }| Span::styled(format!("{name} "), Style::new().fg(*colour)));
    let heading: Vec<_> = [Span::raw(format!(" {title}: "))].into_iter().chain(names).collect();
    let y_labels = [bounds[0].max(y.0), (bounds[0] + bounds[1]) / 2.0, y.1].map(short);
    let chart = Chart::new(datasets.collect())
        .block(Block::bordered().title(Line::from(heading)))
        .x_axis(Axis::default().bounds([x.0, x.1]).labels([format!("{:.0}", x.0), format!("{:.0}", x.1)]))
        .y_axis(Axis::default().bounds(bounds).labels(y_labels));
    frame.render_widget(chart, area);
}

/// As wide as the confusion matrix wants it.
fn side_width(state: &State) -> u16 {
    let confusion = state.confusion.as_ref().map_or(0, |counts| 10 + counts.len() * cell_width(counts));
    confusion.clamp(30, 70) as u16
}

fn cell_width(counts: &[Vec<usize>]) -> usize {
    counts.iter().flatten().max().map_or(1, |most| most.to_string().len()) + 1
}

/// The gradient of each layer, the confusion matrix, and the decision boundary.
fn side_panels(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let norms = state.records.last().map_or(&[][..], |record| &record.gradient_norms);
    let layers = (norms.len().max(1) as u16).min(area.height / 3) + 2;
    let confusion = state.confusion.as_ref().map_or(0, |counts| counts.len() as u16 + 3);
    let rest = area.height.saturating_sub(layers);
    // Half a matrix is none.
    let confusion = if confusion <= rest { confusion } else { 0 };
    let rows = [Constraint::Length(layers), Constraint::Length(confusion), Constraint::Min(0)];
    let [top, middle, bottom] = Layout::vertical(rows).areas(area);
    gradient_norms(frame, top, norms);
    if let (Some(counts), true) = (&state.confusion, confusion > 0) {
        confusion_matrix(frame, middle, counts, &state.classes);
    }
    if let (Some(answers), true) = (&state.boundary, bottom.height >= 5) {
        boundary(frame, bottom, answers);
    }
}

fn gradient_norms(frame: &mut Frame<'_>, area: Rect, norms: &[f64]) {
    let block = Block::bordered().title(" gradient norm by layer ");
    let inner = block.inner(area);
    let most = norms.iter().copied().filter(|norm| norm.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    let cells = usize::from(inner.width.saturating_sub(16));
    let line = |(i, &norm): (usize, &f64)| {
        let filled = (norm / most * cells as f64).round().clamp(0.0, cells as f64) as usize;
        let label = format!("{:>3} {:>10} ", i + 1, short(norm));
        Line::from(vec![Span::raw(label), Span::styled("█".repeat(filled), Style::new().fg(COLOURS[5]))])
    };
    let shown = usize::from(inner.height);
    frame.render_widget(
        Paragraph::new(norms.iter().enumerate().take(shown).map(line).collect::<Vec<_>>()).block(block),
        area,
    );
}

fn confusion_matrix(frame: &mut Frame<'_>, area: Rect, counts: &[Vec<usize>], classes: &[String]) {
    let width = cell_width(counts);
    let cut = |text: &str, width: usize| text.chars().take(width).collect::<String>();
    let mut lines = vec![Line::raw(
        format!("{:>7} ", "answer")
            + &(0..counts.len())
                .map(|class| format!("{:>width$}", cut(classes.get(class).map_or("", |name| name), width - 1)))
                .collect::<String>(),
    )];
    for (i, row) in counts.iter().enumerate() {
        let mut spans = vec![Span::raw(format!("{:>7} ", cut(classes.get(i).map_or("", |name| name), 7)))];
        for (j, count) in row.iter().enumerate() {
            let style = match (i == j, *count) {
                (_, 0) => Style::new().fg(Color::DarkGray),
                (true, _) => Style::new().fg(Color::Green),
                (false, _) => Style::new().fg(Color::Red),
            };
            spans.push(Span::styled(format!("{count:>width$}"), style));
        }
        lines.push(Line::from(spans));
    }
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" confusion, validation ")), area);
}

/// The signs of classes, which tell them apart without colours too.
const SIGNS: [&str; 8] = ["·", "#", "o", "x", "+", "=", "%", "~"];

/// From the least number to the largest.
const RAMP: [&str; 8] = [" ", ".", ":", "-", "=", "+", "*", "#"];

fn boundary(frame: &mut Frame<'_>, area: Rect, answers: &Answers) {
    let block = Block::bordered().title(" decision boundary ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let (columns, rows) = answers.grid;
    let numbers = match &answers.surface {
        Surface::Numbers(cells) => cells.iter().copied().filter(|x| x.is_finite()).fold(None, |range, x| {
            let (low, high) = range.unwrap_or((x, x));
            Some((f64::min(low, x), f64::max(high, x)))
        }),
        Surface::Classes(_) => None,
    };
    for y in 0..inner.height {
        for x in 0..inner.width {
            let column = usize::from(x) * columns / usize::from(inner.width);
            // The least second input is below.
            let row = rows - 1 - usize::from(y) * rows / usize::from(inner.height);
            let place = row * columns + column;
            let (sign, style) = match &answers.surface {
                Surface::Classes(cells) => {
                    let (class, sure) = cells[place];
                    let style = Style::new().fg(COLOURS[class % COLOURS.len()]);
                    let style = if sure > 0.5 { style.add_modifier(Modifier::BOLD) } else { style };
                    (SIGNS[class % SIGNS.len()], style)
                }
                Surface::Numbers(cells) => {
                    let (low, high) = numbers.unwrap_or((0.0, 1.0));
                    let share = (cells[place] - low) / (high - low).max(f64::MIN_POSITIVE);
                    let level = (share * RAMP.len() as f64).clamp(0.0, RAMP.len() as f64 - 1.0) as usize;
                    (RAMP[level], Style::new().fg(COLOURS[0]))
                }
            };
            frame.buffer_mut().set_string(inner.x + x, inner.y + y, sign, style);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn record(epoch: usize) -> Record {
        Record {
            epoch,
            loss: 2.0 / epoch as f64,
            validation_loss: Some(2.5 / epoch as f64),
            accuracy: Some(1.0 - 0.5 / epoch as f64),
            r_squared: None,
            learning_rate: 0.01,
            samples_per_second: 123_456.0,
            seconds: epoch as f64,
            gradient_norms: vec![0.25, 1.0],
            skipped_steps: 0,
        }
    }

    fn state() -> State {
        let mut state = State::new("moons · 2-8-2 · CPU".into(), 10, vec!["left".into(), "right\u{1b}".into()]);
        (1..=4).for_each(|epoch| state.record(record(epoch)));
        state.learning_rate = 0.005;
        state.confusion = Some(vec![vec![41, 2], vec![3, 54]]);
        // The second class in the upper right, where both inputs are large.
        let large = |i: usize| i % GRID.0 >= GRID.0 / 2 && i / GRID.0 >= GRID.1 / 2;
        let cells = (0..GRID.0 * GRID.1).map(|i| (usize::from(large(i)), 1.0)).collect();
        state.boundary = Some(Answers { grid: GRID, surface: Surface::Classes(cells) });
        state
    }

    const GRID: (usize, usize) = (64, 32);

    fn screen(state: &State, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(line).collect()
    }

    #[test]
    fn the_screen_shows_everything() {
        for (width, height) in [(80, 24), (200, 50)] {
            let lines = screen(&state(), width, height);
            let all = lines.join("\n");
            for word in [
                "wgrad moons · 2-8-2 · CPU",
                "epoch 4/10",
                "loss 0.5000  validation 0.6250  accuracy 0.8750  lr 5.00e-3  123 k samples/s",
                " loss: training validation ",
                " accuracy: validation ",
                "gradient norm by layer",
                "1     0.2500 ",
                "confusion, validation",
                "41  2",
                " 3 54",
                "decision boundary",
                HELP,
            ] {
                assert!(all.contains(word), "{word:?} at {width}x{height}:\n{all}");
            }
            assert!(all.chars().any(|c| ('\u{2801}'..'\u{28ff}').contains(&c)), "no curve:\n{all}");
            let rows: Vec<_> = lines.iter().filter(|line| line.contains("·····")).collect();
            let (above, below) = (rows[0], rows[rows.len() - 1]);
            assert!(above.find('·') < above.find('#') && above.contains("#####"), "{above}");
            assert!(!below.contains('#'), "{below}");
            assert!(!all.contains('\u{1b}'));
        }
    }

    #[test]
    fn bars_are_as_long_as_the_norms() {
        let lines = screen(&state(), 100, 30);
        let cells = |word: &str| lines.iter().find(|line| line.contains(word)).unwrap().matches('█').count();
        let (first, second) = (cells("1     0.2500 "), cells("2     1.0000 "));
        assert!(second > 8 && first == (second as f64 / 4.0).round() as usize, "{first} of {second}");
    }

    #[test]
    fn a_pause_and_a_message_are_seen() {
        let mut state = state();
        state.message = "saved m.safetensors in epoch 4".into();
        assert!(screen(&state, 80, 24)[23].starts_with("saved m.safetensors in epoch 4 | space pause"));
        state.paused = Some(Instant::now());
        assert!(screen(&state, 80, 24)[23].contains("PAUSED   space goes on"));
    }

    #[test]
    fn any_size_and_any_numbers_can_be_drawn() {
        let mut odd = state();
        odd.record(Record { loss: f64::NAN, validation_loss: None, gradient_norms: vec![f64::NAN, 0.0], ..record(5) });
        odd.boundary = Some(Answers { grid: (2, 1), surface: Surface::Numbers(vec![f64::NAN, f64::INFINITY]) });
        for state in [State::new(String::new(), 1, Vec::new()), state(), odd] {
            for (width, height) in [(1, 1), (10, 3), (40, 10), (59, 30), (60, 9), (300, 8), (80, 24)] {
                assert_eq!(screen(&state, width, height).len(), usize::from(height));
            }
        }
    }
}
