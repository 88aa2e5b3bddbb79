//! The view on a terminal that is not there, and its picture in the documentation.

use std::fmt::Write;
use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};
use polyptych_engine::SamplePicture;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Modifier;

use super::*;

/// A run in its middle, whose numbers follow formulas.
fn state() -> State {
    let task = |place: u32, score: &str| {
        let (mut losses, place) = (History::default(), f64::from(place));
        for step in 1..=420 {
            let x = f64::from(step);
            let noise = ((x * 12.9898 + place).sin() * 43758.547).fract() * 0.12;
            losses.push(x, (1.0 + 0.3 * place) * (0.35 + (-x / 120.0).exp()) + noise);
        }
        let scores = vec![(140.0, 1.0), (280.0, 2.0 + place * 0.1), (420.0, 2.6)];
        TaskState { losses, weight: Some(1.0 + 0.05 * place), score: Some(score.into()), scores }
    };
    let names = [
        ("depth", "5.31m"),
        ("edge", "45.10%"),
        ("human_parts", "18.92%"),
        ("normals", "29.04deg"),
        ("sal", "23.77%"),
        ("semseg", "24.61%"),
    ];
    let tasks = (0..).zip(names).map(|(place, (name, score))| (name.into(), task(place, score)));
    State {
        title: "runs/quickstart: 6 tasks, MTLoRA on swin_micro_patch4_window4_128".into(),
        step: 420,
        steps: 700,
        lr: 8.7e-4,
        images_per_second: 61.4,
        elapsed: 55.0,
        remaining: 36.0,
        memory: Some(812 << 20),
        skipped: 0,
        evaluating: None,
        delta_m: Some(-1.42),
        tasks: tasks.collect(),
    }
}

fn drawn(state: &State, width: u16, height: u16) -> Buffer {
    drawn_with(state, None, [width, height])
}

fn drawn_with(state: &State, samples: Option<&mut Samples>, [width, height]: [u16; 2]) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| render(frame, state, samples)).unwrap();
    terminal.backend().buffer().clone()
}

/// A sample as an evaluation draws it: a photograph, and two tasks in one colour each.
fn sample(name: &str, colours: [[u8; 3]; 3]) -> SamplePicture {
    let ([wide, high], step) = ([40, 30], 60);
    let mut picture = RgbImage::from_pixel(3 * step, 20 + 2 * (high + 4), Rgb([255; 3]));
    for (column, colour) in (0u32..).zip(colours) {
        for (row, x, y) in (0..2)
            .flat_map(|row| (0..wide).map(move |x| (row, x)))
            .flat_map(|(row, x)| (0..high).map(move |y| (row, x, y)))
        {
            picture.put_pixel(column * step + x, 20 + row * (high + 4) + y, Rgb(colour));
        }
    }
    let titles = ["photograph", "depth", "semseg"];
    SamplePicture {
        name: name.into(),
        png: png(&picture),
        size: [picture.width(), picture.height()],
        cell: [wide, high],
        columns: (0..).zip(titles).map(|(place, title)| (title.into(), place * step)).collect(),
        rows: vec![20, 20 + high + 4],
        captions: vec!["birds: truth owl, prediction gull".into()],
    }
}

fn png(picture: &RgbImage) -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

fn taken(samples: &[SamplePicture]) -> Samples {
    let mut shown = Samples::of_half_blocks();
    shown.take(samples);
    shown
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content().chunks(width);
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
}

#[test]
fn the_view_has_every_number_of_the_run() {
    let text = text(&drawn(&state(), 100, 22));
    for part in [
        "step 420/700  60 %",
        "elapsed 0:55",
        "left 0:36",
        "images/s 61.4",
        "lr 8.70e-4",
        "memory 812 MiB",
        "delta-m -1.42 %",
        "semseg ",
        "24.61%",
        "x1.25",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "curves: {text}");
}

#[test]
fn an_evaluation_has_the_bar() {
    let state = State { evaluating: Some((3, 25)), ..state() };
    assert!(text(&drawn(&state, 100, 22)).contains("evaluation 3/25"));
}

#[test]
fn small_terminals_and_new_runs_are_drawn_too() {
    let small = text(&drawn(&state(), 40, 12));
    assert!(small.contains("semseg") && small.contains("step 420/700"), "{small}");
    drawn(&state(), 8, 3);
    let new =
        State { steps: 10, tasks: [("a".into(), TaskState::default())].into(), ..State::default() };
    let text = text(&drawn(&new, 60, 12));
    assert!(text.contains("step 0/10") && text.contains(" a -"), "{text}");
    assert_eq!(height(6, 100, 50), (2 + HEAD + 16, 14));
    assert_eq!(height(6, 100, 31), (2 + HEAD + 16, 9));
    assert_eq!(height(6, 100, 24), (2 + HEAD + 16, 0));
    assert_eq!(height(6, 100, 15), (14, 0));
}

#[test]
fn samples_are_seen_below_the_curves() {
    let (red, green, blue) = ([200, 0, 0], [0, 200, 0], [0, 0, 200]);
    let mut samples =
        taken(&[sample("0_room", [red, green, blue]), sample("1_street", [blue, red, green])]);
    let first = State { elapsed: 1.0, ..state() };
    let buffer = drawn_with(&first, Some(&mut samples), [100, 36]);
    let words = text(&buffer);
    for part in ["photograph", "depth", "semseg", "prediction gull", "(0_room)", "step 420/700"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    // Below its title every map has its colour, and there is nothing below the photograph.
    let counts = [red, green, blue].map(|[r, g, b]| {
        buffer.content().iter().filter(|cell| cell.fg == Color::Rgb(r, g, b)).count()
    });
    assert!(
        counts[0] > 10 && counts[1] > 3 * counts[0] / 2 && counts[2] > 3 * counts[0] / 2,
        "{counts:?}"
    );
    let later = State { elapsed: 11.0, ..state() };
    assert!(text(&drawn_with(&later, Some(&mut samples), [100, 36])).contains("(1_street)"));
}

#[test]
fn pictures_that_cannot_be_read_leave_the_view_as_it_is() {
    let broken = SamplePicture { png: vec![1, 2], ..sample("0", [[1; 3]; 3]) };
    let mut samples = taken(&[broken]);
    assert!(samples.is_empty());
    let with = drawn_with(&state(), Some(&mut samples), [100, 36]);
    assert_eq!(text(&with), text(&drawn(&state(), 100, 36)));
    let mut samples = taken(&[sample("0", [[9; 3]; 3])]);
    drawn_with(&state(), Some(&mut samples), [20, 9]);
}

/// `POLYPTYCH_WRITE_IMAGES=1` writes the picture anew.
#[test]
fn the_documentation_shows_this_view() {
    let picture = svg(&drawn(&state(), 100, 22));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images/live.svg");
    if std::env::var_os("POLYPTYCH_WRITE_IMAGES").is_some() {
        std::fs::write(&path, &picture).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept == picture, "docs/images/live.svg: write it anew with POLYPTYCH_WRITE_IMAGES=1");
}

/// The cells as an image: runs of one colour in a row are one text, and braille is dots.
fn svg(buffer: &Buffer) -> String {
    let [wide, high] = [9u16, 18u16];
    let (width, height) = (buffer.area.width * wide + 16, buffer.area.height * high + 16);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"15\">\n\
         <title>The live view of a run on a terminal</title>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#14171a\"/>\n"
    );
    for y in 0..buffer.area.height {
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            let (left, top) = (8 + x * wide, 8 + y * high);
            let reversed = cell.modifier.contains(Modifier::REVERSED);
            let (ink, ground) = if reversed { (cell.bg, cell.fg) } else { (cell.fg, cell.bg) };
            if ground != Color::Reset {
                let colour = hex(ground);
                writeln!(svg, "<rect x=\"{left}\" y=\"{top}\" width=\"{wide}\" height=\"{high}\" fill=\"{colour}\"/>").unwrap();
            }
            draw_cell(&mut svg, cell.symbol(), [left, top], hex(ink), cell.modifier);
        }
    }
    svg + "</svg>\n"
}

fn draw_cell(svg: &mut String, symbol: &str, [left, top]: [u16; 2], ink: &str, modifier: Modifier) {
    let letter = symbol.chars().next().unwrap_or(' ');
    match letter {
        ' ' => {}
        '\u{2800}'..='\u{28ff}' => dots(svg, letter as u32 - 0x2800, [left, top], ink),
        '\u{2588}'..='\u{258f}' => {
            let eighths = 8 - (letter as u32 - 0x2588);
            let width = f64::from(eighths) * 9.0 / 8.0;
            writeln!(
                svg,
                "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"18\" fill=\"{ink}\"/>"
            )
            .unwrap();
        }
        _ => {
            let weight =
                if modifier.contains(Modifier::BOLD) { " font-weight=\"700\"" } else { "" };
            let letter = match letter {
                '<' => "&lt;".to_owned(),
                '&' => "&amp;".to_owned(),
                other => other.to_string(),
            };
            let base = top + 14;
            writeln!(svg, "<text x=\"{left}\" y=\"{base}\" fill=\"{ink}\"{weight}>{letter}</text>")
                .unwrap();
        }
    }
}

/// Bits of a braille pattern: the left column down to its third row, the right one, then the last row.
fn dots(svg: &mut String, bits: u32, [left, top]: [u16; 2], ink: &str) {
    let places = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)];
    for (bit, (column, row)) in (0u32..).zip(places) {
        if bits >> bit & 1 == 1 {
            let x = f64::from(left) + 2.25 + 4.5 * f64::from(column);
            let y = f64::from(top) + 2.25 + 4.5 * f64::from(row);
            writeln!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"1.4\" fill=\"{ink}\"/>").unwrap();
        }
    }
}

fn hex(colour: Color) -> &'static str {
    match colour {
        Color::Blue => "#4b8fd8",
        Color::Cyan => "#5fc9d8",
        Color::Green => "#74c98a",
        Color::Yellow => "#dcbf5f",
        Color::Magenta => "#c58fd8",
        Color::DarkGray => "#7b848d",
        _ => "#e7eaed",
    }
}
