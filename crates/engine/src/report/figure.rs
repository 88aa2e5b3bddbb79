//! Panels with what one needs to read them: titles, the classes that occur, colour bars with units.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use ndarray::ArrayView3;
use polyptych_data::{TaskKind, TaskSpec};

use crate::report::panel::{class_colour, depth_colour, painted};
use crate::report::text::{width, write};

/// Pixels between cells, and around what is written.
const GAP: u32 = 6;
const LINE: u32 = 20;
/// Least width of a cell, so that names and bars have room.
const NARROWEST: u32 = 150;
/// Letters grow with photographs: one size for so many columns of pixels.
const COLUMNS_PER_SIZE: u32 = 640;
/// More classes have no legend.
const MAX_LEGEND: usize = 24;
/// Side of a class's square, and height of a bar.
const SWATCH: u32 = 12;

/// A picture, its title and its key.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    title: String,
    picture: RgbImage,
    key: Key,
}

/// What the colours of a picture mean.
#[derive(Debug, Clone)]
enum Key {
    Nothing,
    Classes(Vec<([u8; 3], String)>),
    /// From `low` to `high`.
    Bar {
        colour: fn(f32) -> [u8; 3],
        low: String,
        high: String,
    },
    Words(String),
}

/// A map as a picture whose colours are explained; blended with `photograph` by `alpha`, the share
/// of the map, where that is given. `range`: depths between which colours run.
pub(crate) fn map_cell(
    title: String,
    spec: &TaskSpec,
    map: ArrayView3<f32>,
    range: [f32; 2],
    overlay: Option<(&RgbImage, f32)>,
) -> Cell {
    let mut picture = painted(spec, map, range);
    if let Some((photograph, alpha)) = overlay {
        picture = blended(photograph, &picture, alpha);
    }
    Cell { title, picture, key: key(spec, map, range) }
}

/// A photograph.
pub(crate) fn photograph_cell(title: String, picture: RgbImage) -> Cell {
    Cell { title, picture, key: Key::Nothing }
}

/// A picture whose colours words explain.
pub(crate) fn worded_cell(title: String, picture: RgbImage, words: String) -> Cell {
    Cell { title, picture, key: Key::Words(words) }
}

/// Nothing, where a row has no picture.
pub(crate) fn empty_cell() -> Cell {
    photograph_cell(String::new(), RgbImage::from_pixel(1, 1, Rgb([255; 3])))
}

fn key(spec: &TaskSpec, map: ArrayView3<f32>, [near, far]: [f32; 2]) -> Key {
    match spec.kind {
        TaskKind::Semseg | TaskKind::HumanParts => Key::Classes(classes_in(spec, map)),
        TaskKind::Normals => Key::Words("red x, green y, blue z".into()),
        TaskKind::Depth => {
            let [low, high] = [near, far].map(|metres| format!("{metres:.2} m"));
            Key::Bar { colour: depth_colour, low, high }
        }
        _ => Key::Bar { colour: grey, low: "0".into(), high: "1 probability".into() },
    }
}

fn grey(share: f32) -> [u8; 3] {
    [(share.clamp(0.0, 1.0) * 255.0) as u8; 3]
}

/// Classes of a map with their colours, the most frequent first.
fn classes_in(spec: &TaskSpec, map: ArrayView3<f32>) -> Vec<([u8; 3], String)> {
    let mut counts = vec![0u64; spec.classes.len()];
    for value in map.iter().filter(|value| !value.is_nan()) {
        if let Some(count) = counts.get_mut(*value as usize) {
            *count += 1;
        }
    }
    let mut found: Vec<usize> = (0..counts.len()).filter(|&class| counts[class] > 0).collect();
    found.sort_by_key(|&class| std::cmp::Reverse(counts[class]));
    let more = found.len().saturating_sub(MAX_LEGEND);
    let named = found.iter().take(MAX_LEGEND);
    let mut named: Vec<([u8; 3], String)> = named
        .map(|&class| (class_colour(spec, class as f32), spec.classes[class].clone()))
        .collect();
    if more > 0 {
        named.push(([255; 3], format!("and {more} more")));
    }
    named
}

/// `map` over `photograph`, of one size; `alpha`: share of the map in [0, 1].
pub(crate) fn blended(photograph: &RgbImage, map: &RgbImage, alpha: f32) -> RgbImage {
    let mix = |a: u8, b: u8| (f32::from(a) * (1.0 - alpha) + f32::from(b) * alpha).round() as u8;
    RgbImage::from_fn(map.width(), map.height(), |x, y| {
        let (below, above) = (photograph.get_pixel(x, y).0, map.get_pixel(x, y).0);
        Rgb([0, 1, 2].map(|c| mix(below[c], above[c])))
    })
}

/// Rows of cells with lines of text below them, on white.
///
/// Every cell has the width of the widest picture, pictures keep their size.
pub(crate) fn figure(rows: &[Vec<Cell>], captions: &[String]) -> RgbImage {
    let pictures = || rows.iter().flatten().map(|cell| &cell.picture);
    let widest = pictures().map(RgbImage::width).max().unwrap_or(1);
    let size = widest.div_ceil(COLUMNS_PER_SIZE).max(1);
    let titles = rows.iter().flatten().map(|cell| width(&cell.title) * size);
    let column = titles.max().unwrap_or(0).max(widest).max(NARROWEST * size) + GAP;
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let heights: Vec<u32> = rows.iter().map(|row| row_height(row, column - GAP, size)).collect();
    let text_width = captions.iter().map(|text| width(text) * size).max().unwrap_or(0);
    let wide = (columns * column).max(text_width).max(1);
    let text_height = captions.len() as u32 * LINE * size;
    let mut canvas = RgbImage::from_pixel(
        wide,
        (heights.iter().sum::<u32>() + text_height).max(1),
        Rgb([255; 3]),
    );
    let mut top = 0;
    for (row, height) in rows.iter().zip(&heights) {
        let picture_height = row.iter().map(|cell| cell.picture.height()).max().unwrap_or(0);
        for (place, cell) in (0..).zip(row) {
            draw(&mut canvas, cell, [place * column, top], [column - GAP, picture_height], size);
        }
        top += height;
    }
    for (line, text) in (0..).zip(captions) {
        put_text(&mut canvas, text, [0, top + line * LINE * size], size);
    }
    canvas
}

fn row_height(row: &[Cell], column: u32, size: u32) -> u32 {
    let picture = row.iter().map(|cell| cell.picture.height()).max().unwrap_or(0);
    let key = row.iter().map(|cell| key_strip(&cell.key, column / size).height() * size).max();
    LINE * size + picture + key.unwrap_or(0) + GAP
}

fn draw(
    canvas: &mut RgbImage,
    cell: &Cell,
    [left, top]: [u32; 2],
    [column, high]: [u32; 2],
    size: u32,
) {
    put_text(canvas, &cell.title, [left, top], size);
    let top = top + LINE * size;
    imageops::replace(canvas, &cell.picture, i64::from(left), i64::from(top));
    put(canvas, &key_strip(&cell.key, column / size), [left, top + high + GAP / 2], size);
}

fn put_text(canvas: &mut RgbImage, text: &str, at: [u32; 2], size: u32) {
    let mut strip = RgbImage::from_pixel(width(text).max(1), LINE, Rgb([255; 3]));
    write(&mut strip, text, 0, 1);
    put(canvas, &strip, at, size);
}

/// A strip, `size` times as large.
fn put(canvas: &mut RgbImage, strip: &RgbImage, [left, top]: [u32; 2], size: u32) {
    let (wide, high) = (strip.width() * size, strip.height() * size);
    let large = imageops::resize(strip, wide, high, FilterType::Nearest);
    imageops::replace(canvas, &large, i64::from(left), i64::from(top));
}

/// The key of a picture in so many columns of pixels.
fn key_strip(key: &Key, column: u32) -> RgbImage {
    let blank = |lines: u32| RgbImage::from_pixel(column.max(1), lines * LINE + 1, Rgb([255; 3]));
    match key {
        Key::Nothing => blank(0),
        Key::Words(words) => {
            let lines = wrapped(words, column);
            let mut strip = blank(lines.len() as u32);
            (0..).zip(&lines).for_each(|(line, text)| write(&mut strip, text, 0, line * LINE + 2));
            strip
        }
        Key::Bar { colour, low, high } => {
            let mut strip = blank(2);
            for (x, y) in (0..column).flat_map(|x| (4..4 + SWATCH).map(move |y| (x, y))) {
                let share = x as f32 / column.saturating_sub(1).max(1) as f32;
                strip.put_pixel(x, y, Rgb(colour(share)));
            }
            write(&mut strip, low, 0, LINE);
            write(&mut strip, high, column.saturating_sub(width(high)), LINE);
            strip
        }
        Key::Classes(classes) => legend(classes, column, &blank),
    }
}

fn legend(classes: &[([u8; 3], String)], column: u32, blank: &dyn Fn(u32) -> RgbImage) -> RgbImage {
    let (mut places, mut left, mut line) = (Vec::new(), 0, 0);
    for (_, name) in classes {
        let wide = SWATCH + 5 + width(name) + 10;
        if left > 0 && left + wide - 10 > column {
            (left, line) = (0, line + 1);
        }
        places.push((left, line * LINE));
        left += wide;
    }
    let mut strip = blank(if classes.is_empty() { 0 } else { line + 1 });
    for ((colour, name), (left, top)) in classes.iter().zip(places) {
        for (x, y) in (0..SWATCH).flat_map(|x| (0..SWATCH).map(move |y| (x, y))) {
            if let Some(pixel) = strip.get_pixel_mut_checked(left + x, top + 4 + y) {
                *pixel = Rgb(*colour);
            }
        }
        write(&mut strip, name, left + SWATCH + 5, top + 2);
    }
    strip
}

/// Words in lines of at most so many pixels; a longer word has a line of its own.
fn wrapped(words: &str, column: u32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + width(" ") + width(word) <= column => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn spec(kind: TaskKind) -> TaskSpec {
        let classes: Vec<String> = ["sky", "ground", "thing"].map(str::to_owned).into();
        let palette = vec![[1, 2, 3], [4, 5, 6], [200, 0, 0]];
        TaskSpec { name: "t".into(), kind, classes, palette, flip_pairs: vec![] }
    }

    fn holds(image: &RgbImage, colour: [u8; 3]) -> usize {
        image.pixels().filter(|pixel| pixel.0 == colour).count()
    }

    #[test]
    fn the_legend_has_the_classes_that_occur() {
        let map = Array3::from_shape_vec((1, 1, 4), vec![2.0, 2.0, 0.0, f32::NAN]).unwrap();
        let spec = spec(TaskKind::Semseg);
        let found = classes_in(&spec, map.view());
        assert_eq!(found, [([200, 0, 0], "thing".to_owned()), ([1, 2, 3], "sky".to_owned())]);
        let cell = map_cell("semseg".into(), &spec, map.view(), [0.0, 1.0], None);
        let image = figure(&[vec![cell]], &[]);
        assert_eq!(holds(&image, [200, 0, 0]), 2 + (SWATCH * SWATCH) as usize);
        assert_eq!(holds(&image, [4, 5, 6]), 0);
    }

    #[test]
    fn pictures_keep_their_size_and_stand_in_a_grid() {
        let photograph = RgbImage::from_pixel(200, 50, Rgb([9; 3]));
        let cell = || photograph_cell("photograph".into(), photograph.clone());
        let image = figure(&[vec![cell(), cell()], vec![cell()]], &["birds: owl 90 %".into()]);
        assert_eq!(image.width(), 2 * (200 + GAP));
        assert_eq!(holds(&image, [9; 3]), 3 * 200 * 50);
        let plain = figure(&[vec![cell(), cell()], vec![cell()]], &[]);
        assert_eq!(image.height(), plain.height() + LINE);
    }

    #[test]
    fn bars_and_overlays_are_drawn() {
        let map = Array3::from_shape_fn((1, 10, 180), |(_, _, x)| x as f32);
        let spec = spec(TaskKind::Depth);
        let black = RgbImage::from_pixel(180, 10, Rgb([0; 3]));
        let cell = |overlay| map_cell("depth".into(), &spec, map.view(), [0.0, 179.0], overlay);
        let (whole, half) = (cell(None), cell(Some((&black, 0.5))));
        let brightness =
            |cell: &Cell| cell.picture.pixels().flat_map(|p| p.0).map(u64::from).sum::<u64>();
        let share = brightness(&half) as f64 / brightness(&whole) as f64;
        assert!((share - 0.5).abs() < 0.01, "{share}");
        // The bar below repeats the picture's colours.
        let near = whole.picture.get_pixel(0, 0).0;
        assert!(holds(&figure(&[vec![whole]], &[]), near) >= 10 + SWATCH as usize);
    }

    #[test]
    fn words_are_wrapped() {
        assert_eq!(wrapped("one two three", width("one two")), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable", 1), ["unbreakable"]);
    }
}
