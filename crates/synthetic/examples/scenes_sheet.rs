//! Writes a contact sheet of the built-in scenes and prints how fast they are drawn.
//!
//! `cargo run --release -p polyptych-synthetic --example scenes_sheet -- sheet.png [first] [rows]`
//!
//! Rows are images; columns are photograph, semseg, human_parts, sal, normals, depth, edge.

use std::{error::Error, time::Instant};

use image::{Rgb, RgbImage};
use polyptych_data::{Dataset, Label, Sample, TaskSpec};
use polyptych_synthetic::{Scenes, ScenesConfig};

const SIZE: usize = 128;
const TIMED: usize = 300;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("expected the path of the sheet to write")?;
    let first: usize = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let rows: usize = arguments.next().map_or(Ok(8), |text| text.parse())?;
    let len = TIMED.max(first + rows);
    let config = ScenesConfig { seed: 0, split: "train".into(), len, height: SIZE, width: SIZE };
    let scenes = Scenes::new(config)?;
    sheet(&scenes, first, rows)?.save(&path)?;
    let start = Instant::now();
    for index in 0..TIMED {
        scenes.get(index)?;
    }
    let rate = TIMED as f64 / start.elapsed().as_secs_f64();
    println!("{path}: {rows} rows; {rate:.0} images/s on one thread");
    Ok(())
}

fn sheet(scenes: &Scenes, first: usize, rows: usize) -> Result<RgbImage, Box<dyn Error>> {
    let dense: Vec<&TaskSpec> = scenes.tasks().iter().filter(|task| task.is_dense()).collect();
    let mut sheet = RgbImage::new((SIZE * (dense.len() + 1)) as u32, (SIZE * rows) as u32);
    for row in 0..rows {
        let sample = scenes.get(first + row)?;
        for (pixel, x, y) in cells(&sample, &dense) {
            sheet.put_pixel(x as u32, (row * SIZE + y) as u32, pixel);
        }
    }
    Ok(sheet)
}

/// Pixels of one row with their column and their row within it.
fn cells<'a>(
    sample: &'a Sample,
    tasks: &'a [&'a TaskSpec],
) -> impl Iterator<Item = (Rgb<u8>, usize, usize)> + 'a {
    let grid = (0..SIZE * SIZE).map(|at| (at % SIZE, at / SIZE));
    grid.flat_map(move |(x, y)| {
        let photo = Rgb([0, 1, 2].map(|c| sample.image[[y, x, c]]));
        let panels = tasks.iter().enumerate().map(move |(column, task)| {
            (colour(sample.labels.get(&task.name), task, x, y), SIZE * (column + 1) + x, y)
        });
        std::iter::once((photo, x, y)).chain(panels)
    })
}

fn colour(label: Option<&Label>, task: &TaskSpec, x: usize, y: usize) -> Rgb<u8> {
    let grey = |v: f32| Rgb([(255.0 * v) as u8; 3]);
    match label {
        Some(Label::Classes(map)) => Rgb(task.palette[usize::from(map[[y, x]])]),
        Some(Label::Binary(map)) => grey(f32::from(map[[y, x]])),
        Some(Label::Edges(maps)) => grey(f32::from(maps[0][[y, x]])),
        Some(Label::Normals(map)) => Rgb([0, 1, 2].map(|c| (127.5 + 127.5 * map[[y, x, c]]) as u8)),
        Some(Label::Depth(map)) if map[[y, x]] > 0.0 => grey(1.0 / (1.0 + 0.25 * map[[y, x]])),
        _ => Rgb([40, 0, 60]),
    }
}
