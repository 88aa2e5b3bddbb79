//! Conflict as a picture: one square of mean cosines for each group of layers.
//!
//! Red cells are gradients that point against each other, blue ones agree, white ones are at right
//! angles; every cell has its number, and a pair that was never measured is grey.

use image::{Rgb, RgbImage};

use crate::MeanConflict;
use crate::report::text::{width, width_of, write};

const CELL: u32 = 56;
const GAP: u32 = 24;
const LINE: u32 = 22;
/// Squares beside each other.
const COLUMNS: usize = 3;
const UNKNOWN: Rgb<u8> = Rgb([200; 3]);

/// Draws every group of `mean`, the first one being all shared parameters.
pub fn heat_map(mean: &MeanConflict) -> RgbImage {
    let names = mean.tasks.iter().map(|task| task.chars().count()).max().unwrap_or(0);
    let layout = Layout { tasks: mean.tasks.len() as u32, margin: width_of(names) };
    let (columns, rows) =
        (mean.groups.len().min(COLUMNS) as u32, mean.groups.len().div_ceil(COLUMNS) as u32);
    let title = format!("mean cosine of task gradients, {} measurements", mean.count);
    let wide = (GAP + columns * (layout.width() + GAP)).max(2 * GAP + width(&title));
    let high = GAP + LINE + rows * (layout.height() + GAP);
    let mut image = RgbImage::from_pixel(wide, high, Rgb([255; 3]));
    write(&mut image, &title, GAP, GAP / 2);
    for (place, (group, cosines)) in mean.groups.iter().enumerate() {
        let (row, column) = ((place / COLUMNS) as u32, (place % COLUMNS) as u32);
        let corner =
            [GAP + column * (layout.width() + GAP), GAP + LINE + row * (layout.height() + GAP)];
        layout.draw(&mut image, corner, group, &mean.tasks, cosines);
    }
    image
}

/// Measures of one square with its names.
struct Layout {
    tasks: u32,
    margin: u32,
}

impl Layout {
    fn width(&self) -> u32 {
        self.margin + 8 + self.tasks * CELL.max(self.margin + 8)
    }

    fn height(&self) -> u32 {
        2 * LINE + self.tasks * CELL
    }

    fn draw(
        &self,
        image: &mut RgbImage,
        [left, top]: [u32; 2],
        group: &str,
        tasks: &[String],
        cosines: &[Vec<Option<f64>>],
    ) {
        let cell = CELL.max(self.margin + 8);
        write(image, group, left, top);
        let (left, top) = (left + self.margin + 8, top + 2 * LINE);
        for (i, (task, row)) in (0u32..).zip(tasks.iter().zip(cosines)) {
            write(image, task, left - 8 - width(task), top + i * CELL + (CELL - 16) / 2);
            write(image, task, left + i * cell + (cell - width(task)) / 2, top - LINE);
            for (j, cosine) in (0u32..).zip(row) {
                let corner = [left + j * cell, top + i * CELL];
                paint(image, corner, [cell, CELL], *cosine);
            }
        }
    }
}

fn paint(image: &mut RgbImage, [left, top]: [u32; 2], [wide, high]: [u32; 2], cosine: Option<f64>) {
    let colour = cosine.map_or(UNKNOWN, colour);
    for (x, y) in (0..wide - 1).flat_map(|x| (0..high - 1).map(move |y| (x, y))) {
        image.put_pixel(left + x, top + y, colour);
    }
    let text = cosine.map_or("-".to_owned(), |cosine| format!("{cosine:+.2}"));
    write(image, &text, left + (wide - width(&text)) / 2, top + (high - 16) / 2);
}

/// Red at -1, white at 0, blue at 1; the ends of the scale are left out, on which no ink is read.
fn colour(cosine: f64) -> Rgb<u8> {
    let colour = colorous::RED_BLUE.eval_continuous(0.5 + 0.3 * cosine.clamp(-1.0, 1.0));
    Rgb([colour.r, colour.g, colour.b])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(cosine: Option<f64>) -> MeanConflict {
        let matrix = vec![vec![Some(1.0), cosine], vec![cosine, Some(1.0)]];
        let groups = ["all", "layers.0", "layers.1", "layers.2"];
        let groups = groups.map(|group| (group.to_owned(), matrix.clone())).into();
        MeanConflict { count: 3, tasks: vec!["depth".into(), "semseg".into()], groups }
    }

    fn count(image: &RgbImage, colour: Rgb<u8>) -> usize {
        image.pixels().filter(|pixel| **pixel == colour).count()
    }

    #[test]
    fn cells_have_the_colour_of_their_cosine() {
        let [against, across, along] = [-1.0, 0.0, 1.0].map(colour);
        assert!(against.0[0] > against.0[2] + 60 && along.0[2] > along.0[0] + 60);
        assert!(across.0.iter().all(|&c| c > 235));
        let image = heat_map(&mean(Some(-1.0)));
        // Four squares with two cells of each colour, less their numbers.
        let area = (CELL as usize - 1) * (CELL.max(width("semseg") + 8) as usize - 1);
        let (red, blue) = (count(&image, against), count(&image, along));
        for found in [red, blue] {
            assert!(found > 8 * area * 8 / 10 && found < 8 * area, "{found} of {area}");
        }
        let unknown = heat_map(&mean(None));
        assert_eq!(count(&unknown, against), 0);
        assert!(count(&unknown, UNKNOWN) > 8 * area * 8 / 10);
    }

    #[test]
    fn names_are_written_whole() {
        let mut plain = mean(Some(0.0));
        let image = heat_map(&plain);
        plain.tasks[1] = "semsex".into();
        let other = heat_map(&plain);
        assert_eq!(image.dimensions(), other.dimensions());
        assert_ne!(image, other);
        // One name of unknown letters, and a much longer one.
        plain.tasks[0] = "Straße_der_Nacht".into();
        assert!(heat_map(&plain).width() > image.width());
    }
}
