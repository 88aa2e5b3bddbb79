//! Pictures of the newest samples in the live view: by the protocol of the terminal, or by half
//! blocks, which every terminal shows.

use std::io::{IsTerminal, stdin, stdout};
use std::time::Duration;

use image::{DynamicImage, RgbImage, imageops};
use polyptych_engine::SamplePicture;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Stylize;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use ratatui_image::picker::{Picker, ProtocolType};
use ratatui_image::protocol::StatefulProtocol;
use ratatui_image::{FilterType, Resize, StatefulImage};

/// Rows that pictures and their titles take, and the fewest that are worth it.
pub(super) const ROWS: [u16; 2] = [14, 8];
/// How long each of the samples is shown.
const EACH: Duration = Duration::from_secs(10);
/// Black pixels between maps.
const GAP: u32 = 2;
/// Pixels of a cell where nothing is known of them.
const CELL: (u16, u16) = (10, 20);

/// The samples of the last evaluation.
pub(super) struct Samples {
    picker: Picker,
    shown: Vec<Shown>,
}

/// One of them.
struct Shown {
    name: String,
    /// Titles of its columns, and where they begin, as a share of the width.
    columns: Vec<(String, f64)>,
    captions: Vec<String>,
    picture: StatefulProtocol,
}

impl Samples {
    /// Asks the terminal what it can show. It must be one that answers questions.
    pub(super) fn of_terminal() -> Self {
        let asks = stdin().is_terminal() && stdout().is_terminal();
        let found = if asks { Picker::from_query_stdio().ok() } else { None };
        found.map_or_else(Self::of_half_blocks, |picker| Self { picker, shown: Vec::new() })
    }

    /// Half blocks, without a question.
    pub(super) fn of_half_blocks() -> Self {
        let mut picker = Picker::from_fontsize(CELL);
        picker.set_protocol_type(ProtocolType::Halfblocks);
        Self { picker, shown: Vec::new() }
    }

    /// Takes the samples of an evaluation; those that cannot be read are left out.
    pub(super) fn take(&mut self, samples: &[SamplePicture]) {
        let shown = samples.iter().filter_map(|sample| {
            let maps = image::load_from_memory(&sample.png).ok()?.into_rgb8();
            let picture = DynamicImage::from(on_black(sample, &maps));
            let wide = f64::from(picture.width().max(1));
            let step = sample.cell[0] + GAP;
            let left = |column: usize| f64::from(column as u32 * step) / wide;
            let columns = sample.columns.iter().enumerate();
            Some(Shown {
                name: sample.name.clone(),
                columns: columns
                    .map(|(column, (title, _))| (title.clone(), left(column)))
                    .collect(),
                captions: sample.captions.clone(),
                picture: self.picker.new_resize_protocol(picture),
            })
        });
        self.shown = shown.collect();
    }

    /// Whether there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Draws one sample after the other, each for some seconds of `elapsed`.
    pub(super) fn render(&mut self, frame: &mut Frame, area: Rect, elapsed: f64) {
        let turn = (elapsed / EACH.as_secs_f64()) as usize;
        let count = self.shown.len().max(1);
        if let Some(shown) = self.shown.get_mut(turn % count) {
            shown.render(frame, area);
        }
    }
}

impl Shown {
    fn render(&mut self, frame: &mut Frame, area: Rect) {
        let lines = self.captions.len() as u16;
        let [titles, pictures, rows, captions] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
            Constraint::Length(lines.min(area.height / 3)),
        ])
        .areas(area);
        if pictures.is_empty() {
            return;
        }
        let resize = || Resize::Scale(Some(FilterType::Triangle));
        let drawn = self.picture.size_for(resize(), pictures);
        frame.render_stateful_widget(
            StatefulImage::default().resize(resize()),
            pictures,
            &mut self.picture,
        );
        self.name_columns(frame, titles, drawn.width);
        let captions_of = self.captions.iter().map(|text| Line::from(text.as_str()).dark_gray());
        frame.render_widget(Paragraph::new(captions_of.collect::<Vec<_>>()), captions);
        let words = format!("above: truth, below: prediction ({})", self.name);
        frame.render_widget(Line::from(words).dark_gray(), rows);
    }

    /// Titles above the columns of a picture that is `wide` cells wide; each ends before the next.
    fn name_columns(&self, frame: &mut Frame, line: Rect, wide: u16) {
        let left = |share: f64| (share * f64::from(wide)).round() as u16;
        let ends = self.columns.iter().skip(1).map(|(_, share)| left(*share));
        for ((title, share), end) in self.columns.iter().zip(ends.chain([wide])) {
            let x = line.x + left(*share);
            let room = end.saturating_sub(left(*share)).saturating_sub(1);
            let cell = Rect { x, width: room.min(line.right().saturating_sub(x)), ..line };
            frame.render_widget(Line::from(title.as_str()).bold(), cell);
        }
    }
}

/// The maps of a sample side by side on black, which terminals mostly are.
fn on_black(sample: &SamplePicture, maps: &RgbImage) -> RgbImage {
    let [wide, high] = sample.cell;
    let (columns, rows) = (sample.columns.len() as u32, sample.rows.len() as u32);
    let extent = |count: u32, each: u32| (count * (each + GAP)).saturating_sub(GAP).max(1);
    let mut picture = RgbImage::new(extent(columns, wide), extent(rows, high));
    for (column, (_, left)) in (0..).zip(&sample.columns) {
        // Below the photograph there is no map.
        let rows = sample.rows.iter().take(if column == 0 { 1 } else { usize::MAX });
        for (row, top) in (0..).zip(rows) {
            let map = imageops::crop_imm(maps, *left, *top, wide, high).to_image();
            let (x, y) = (column * (wide + GAP), row * (high + GAP));
            imageops::replace(&mut picture, &map, i64::from(x), i64::from(y));
        }
    }
    picture
}
