//! The live view on a terminal, below the lines that came before it.

use std::io::{IsTerminal, Stderr, stderr};
use std::time::{Duration, Instant};

use polyptych_engine::{Evaluation, SamplePicture, StepReport, Trainer, memory};
use ratatui::backend::CrosstermBackend;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Widget};
use ratatui::{Terminal, TerminalOptions, Viewport};

use super::means::{Means, Rate};
use super::samples::Samples;
use super::view::{self, State, TaskState};
use super::words::remarks;
use crate::output;

/// Time between two pictures.
const EVERY: Duration = Duration::from_millis(500);
/// Smaller terminals have lines instead.
const SMALLEST: [u16; 2] = [40, 12];

/// Draws a run.
pub(super) struct Live {
    terminal: Terminal<CrosstermBackend<Stderr>>,
    state: State,
    /// None where there is no room for pictures.
    samples: Option<Samples>,
    begun: Instant,
    drawn: Option<Instant>,
    rate: Rate,
    means: Means,
    batch_size: usize,
}

impl Live {
    /// None where there is no terminal, or lines are asked for.
    pub(super) fn open(trainer: &Trainer) -> Option<Self> {
        if output::is_plain() || output::is_quiet() || !stderr().is_terminal() {
            return None;
        }
        let (recipe, folder) = (trainer.recipe(), trainer.folder().path().display());
        let names = recipe.task_names();
        let title = format!("{folder}: {} on {}", recipe.label(), recipe.backbone.name);
        let (terminal, has_room) = terminal(names.len())?;
        output::hold_lines();
        let tasks = names.into_iter().map(|name| (name, TaskState::default())).collect();
        let (step, steps) = (trainer.step(), recipe.train.steps);
        Some(Self {
            terminal,
            // It has just said where its cursor is: it answers questions.
            samples: has_room.then(Samples::of_terminal),
            state: State { title, step, steps, tasks, ..State::default() },
            begun: Instant::now(),
            drawn: None,
            rate: Rate::default(),
            means: Means::default(),
            batch_size: recipe.data.batch_size,
        })
    }

    pub(super) fn step(&mut self, report: &StepReport, steps: u64) {
        self.rate.add(report.wall_ms);
        self.means.add(report);
        remarks(report).iter().for_each(|line| output::note!("{line}"));
        let state = &mut self.state;
        (state.step, state.steps, state.lr) = (report.step, steps, report.lr);
        state.skipped += u64::from(report.skipped);
        state.evaluating = None;
        for (task, weight) in &report.weights {
            if let Some(task) = state.tasks.get_mut(task) {
                task.weight = Some(*weight);
            }
        }
        if self.is_due() {
            self.take_losses(report.step);
            self.draw();
        }
    }

    pub(super) fn evaluating(&mut self, done: usize, batches: usize) {
        self.state.evaluating = Some((done, batches));
        if self.is_due() || done == batches {
            self.draw();
        }
    }

    pub(super) fn wants_samples(&self) -> bool {
        self.samples.is_some()
    }

    pub(super) fn samples(&mut self, samples: &[SamplePicture]) {
        if let Some(shown) = &mut self.samples {
            shown.take(samples);
        }
    }

    pub(super) fn evaluated(&mut self, evaluation: &Evaluation) {
        let step = self.state.step as f64;
        self.state.evaluating = None;
        self.state.delta_m = evaluation.delta_m.as_ref().map(|delta| delta.percent);
        for (name, score) in evaluation.headlines() {
            if let Some(task) = self.state.tasks.get_mut(name) {
                task.score = Some(format!("{:.2}{}", score.value, score.unit));
                task.scores.push((step, score.value));
            }
        }
        self.draw();
    }

    /// Takes the view away and gives the terminal back.
    pub(super) fn close(&mut self) {
        self.say_held();
        // What cannot be cleared stays as it is: the run is done.
        let _ = self.terminal.clear();
        let _ = self.terminal.show_cursor();
        output::release_lines();
    }

    fn is_due(&self) -> bool {
        self.drawn.is_none_or(|at| at.elapsed() >= EVERY)
    }

    /// Moves the means since the last picture into the curves.
    fn take_losses(&mut self, step: u64) {
        for (name, mean) in self.means.take() {
            if let Some(mean) = mean {
                self.state.tasks.entry(name).or_default().losses.push(step as f64, mean);
            }
        }
    }

    fn draw(&mut self) {
        self.say_held();
        let state = &mut self.state;
        let (rate, eta) = self.rate.rate_and_eta(state.steps.saturating_sub(state.step));
        state.images_per_second = rate * self.batch_size as f64;
        (state.elapsed, state.remaining) = (self.begun.elapsed().as_secs_f64(), eta);
        state.memory = memory::resident_bytes();
        // A picture that cannot be drawn is no reason to end a run.
        let samples = self.samples.as_mut();
        let _ = self.terminal.draw(|frame| view::render(frame, state, samples));
        self.drawn = Some(Instant::now());
    }

    /// Lines that were written meanwhile go above the view.
    fn say_held(&mut self) {
        let width = self.terminal.size().map_or(80, |size| usize::from(size.width.max(1)));
        for line in output::held_lines() {
            let rows = line.chars().count().div_ceil(width).max(1) as u16;
            let paragraph =
                Paragraph::new(Line::from(line)).wrap(ratatui::widgets::Wrap { trim: false });
            let _ =
                self.terminal.insert_before(rows, |buffer| paragraph.render(buffer.area, buffer));
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // After an error nobody has closed the view.
        output::held_lines().iter().for_each(|line| output::aside(format_args!("{line}")));
        output::release_lines();
    }
}

/// A place of the view's height at the cursor, and whether it has room for pictures; none on a
/// terminal that is too small, or that does not say where its cursor is.
fn terminal(tasks: usize) -> Option<(Terminal<CrosstermBackend<Stderr>>, bool)> {
    let (width, rows) = ratatui::crossterm::terminal::size().ok()?;
    if width < SMALLEST[0] || rows < SMALLEST[1] {
        return None;
    }
    let (height, pictures) = view::height(tasks, width, rows);
    let viewport = Viewport::Inline(height + pictures);
    let backend = CrosstermBackend::new(stderr());
    let terminal = Terminal::with_options(backend, TerminalOptions { viewport }).ok()?;
    Some((terminal, pictures > 0))
}
