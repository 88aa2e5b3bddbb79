//! The live view: how far the run is, and every task's loss as a curve with its last score.

use std::collections::BTreeMap;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph};

use super::history::History;
use super::samples::{self, Samples};
use super::words::clock;

/// Rows of the head: the bar, and two of numbers.
const HEAD: u16 = 3;
/// Least rows and columns of a curve.
const CELL: [u16; 2] = [6, 26];

/// All that is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// Folder and method.
    pub(super) title: String,
    pub(super) step: u64,
    pub(super) steps: u64,
    pub(super) lr: f64,
    pub(super) images_per_second: f64,
    pub(super) elapsed: f64,
    pub(super) remaining: f64,
    pub(super) memory: Option<u64>,
    pub(super) skipped: u64,
    /// Batches done of an evaluation that is going on.
    pub(super) evaluating: Option<(usize, usize)>,
    pub(super) delta_m: Option<f64>,
    pub(super) tasks: BTreeMap<String, TaskState>,
}

/// A task.
#[derive(Debug, Clone, Default)]
pub(super) struct TaskState {
    pub(super) losses: History,
    pub(super) weight: Option<f64>,
    /// The last evaluation's headline.
    pub(super) score: Option<String>,
    /// Headlines of all evaluations.
    pub(super) scores: Vec<(f64, f64)>,
}

/// Rows that the view takes of a terminal with so many, in `width` columns, and those that it takes
/// for pictures too where there is room.
pub(super) fn height(tasks: usize, width: u16, rows: u16) -> (u16, u16) {
    let lines = tasks.div_ceil(columns(tasks, width)) as u16;
    let rows = rows.saturating_sub(1);
    let height = (2 + HEAD + lines * 8).min(rows);
    let [most, least] = samples::ROWS;
    let room = (rows - height).min(most);
    (height, if room < least { 0 } else { room })
}

fn columns(tasks: usize, width: u16) -> usize {
    ((width / CELL[1]) as usize).clamp(1, 3).min(tasks.max(1))
}

/// Draws the state, and samples below it where there are some.
pub(super) fn render(frame: &mut Frame, state: &State, samples: Option<&mut Samples>) {
    let block = Block::bordered().title(format!(" {} ", state.title)).border_style(Color::DarkGray);
    let inside = block.inner(frame.area());
    frame.render_widget(block, frame.area());
    let [bar, first, second, rest] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
    ])
    .areas(inside);
    frame.render_widget(gauge(state), bar);
    frame.render_widget(Paragraph::new(Line::from(numbers(state))), first);
    frame.render_widget(Paragraph::new(Line::from(more(state))), second);
    match samples.filter(|samples| !samples.is_empty()) {
        None => tasks(frame, state, rest),
        Some(samples) => {
            let pictures = Constraint::Length(samples::ROWS[0].min(rest.height / 2));
            let [above, below] = Layout::vertical([Constraint::Fill(1), pictures]).areas(rest);
            tasks(frame, state, above);
            samples.render(frame, below, state.elapsed);
        }
    }
}

fn gauge(state: &State) -> Gauge<'static> {
    let (done, all, name) = match state.evaluating {
        Some((done, all)) => (done as f64, all as f64, format!("evaluation {done}/{all}")),
        None => {
            let (step, steps) = (state.step, state.steps);
            let percent = 100 * step / steps.max(1);
            (step as f64, steps as f64, format!("step {step}/{steps}  {percent} %"))
        }
    };
    let colour = if state.evaluating.is_some() { Color::Magenta } else { Color::Blue };
    let share = (done / all.max(1.0)).clamp(0.0, 1.0);
    Gauge::default().ratio(share).label(name).gauge_style(colour).use_unicode(true)
}

fn numbers(state: &State) -> Vec<Span<'static>> {
    let mut spans = pair("elapsed", clock(state.elapsed));
    spans.extend(pair("left", clock(state.remaining)));
    spans.extend(pair("images/s", format!("{:.1}", state.images_per_second)));
    spans.extend(pair("lr", format!("{:.2e}", state.lr)));
    spans
}

fn more(state: &State) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    if let Some(bytes) = state.memory {
        spans.extend(pair("memory", format!("{} MiB", bytes >> 20)));
    }
    if let Some(delta) = state.delta_m {
        spans.extend(pair("delta-m", format!("{delta:+.2} %")));
    }
    if state.skipped > 0 {
        spans.extend(pair("skipped", state.skipped.to_string()));
    }
    spans
}

fn pair(name: &'static str, value: String) -> Vec<Span<'static>> {
    vec![Span::from(format!("{name} ")).dark_gray(), Span::from(format!("{value}   ")).bold()]
}

fn tasks(frame: &mut Frame, state: &State, area: Rect) {
    let columns = columns(state.tasks.len(), area.width);
    let rows = state.tasks.len().div_ceil(columns).max(1);
    if area.height / (rows as u16) < CELL[0] {
        return list(frame, state, area);
    }
    let lines = Layout::vertical(vec![Constraint::Fill(1); rows]).split(area);
    for (place, (name, task)) in state.tasks.iter().enumerate() {
        let cells =
            Layout::horizontal(vec![Constraint::Fill(1); columns]).split(lines[place / columns]);
        curve(frame, (name, task), state, cells[place % columns]);
    }
}

/// One line for each task, where there is no room for curves.
fn list(frame: &mut Frame, state: &State, area: Rect) {
    let lines = state.tasks.iter().map(|(name, task)| Line::from(words(name, task)));
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

fn words(name: &str, task: &TaskState) -> Vec<Span<'static>> {
    let loss = task.losses.last().map_or("-".to_owned(), |loss| format!("{loss:.3}"));
    let mut spans =
        vec![Span::from(format!(" {name} ")).bold(), Span::from(format!("{loss} ")).cyan()];
    spans.extend(task.score.iter().map(|score| Span::from(format!("{score} ")).green()));
    spans.extend(task.weight.map(|weight| Span::from(format!("x{weight:.2} ")).yellow()));
    spans
}

fn curve(frame: &mut Frame, (name, task): (&str, &TaskState), state: &State, area: Rect) {
    let [low, high] = task.losses.range();
    let scores = scaled(&task.scores, [low, high]);
    let line = |data, colour, marker| {
        let style = Style::default().fg(colour);
        Dataset::default().data(data).graph_type(GraphType::Line).marker(marker).style(style)
    };
    let mut sets = vec![line(task.losses.points(), Color::Cyan, Marker::Braille)];
    if scores.len() > 1 {
        sets.push(line(&scores, Color::Green, Marker::Braille));
    }
    let label = |value: f64| Span::from(format!("{value:.2}")).dark_gray();
    let block =
        Block::bordered().title(Line::from(words(name, task))).border_style(Color::DarkGray);
    let chart = Chart::new(sets)
        .block(block)
        .legend_position(None)
        .x_axis(Axis::default().bounds([0.0, state.steps.max(1) as f64]))
        .y_axis(Axis::default().bounds([low, high]).labels([label(low), label(high)]));
    frame.render_widget(chart, area);
}

/// Scores have units of their own: their curve runs between the ends of the other.
fn scaled(scores: &[(f64, f64)], [low, high]: [f64; 2]) -> Vec<(f64, f64)> {
    let ends = scores
        .iter()
        .fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], point| [a.min(point.1), b.max(point.1)]);
    let room = (ends[1] - ends[0]).max(1e-9);
    scores.iter().map(|(x, y)| (*x, low + (y - ends[0]) / room * (high - low))).collect()
}

#[cfg(test)]
mod tests;
