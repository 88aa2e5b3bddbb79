//! Contact sheets: samples as people check them, photograph first, then each task drawn over it.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage, imageops};
use ndarray::{Array3, Axis};
use polyptych_data::{
    AugmentConfig, Dataset, FolderDataset, Key, Label, Root, Sample, TaskKind, TaskSpec, Transform,
    resize_image,
};

use crate::recipe::source::folder_of;
use crate::report::text::{width, write};
use crate::{Result, picture};

/// White between cells, and the height of a line of text.
const GAP: u32 = 4;
const LINE: u32 = 20;
/// Photographs under labels are this much paler than labels.
const VEIL: f32 = 0.65;
/// Where labels say nothing.
const NOTHING: [u8; 3] = [40, 0, 60];

/// What a contact sheet shows.
#[derive(Debug, Clone)]
pub struct ContactSheet {
    /// The manifest of the data set.
    pub manifest: PathBuf,
    /// Its folder; `data/<name of the manifest>` if absent.
    pub root: Option<PathBuf>,
    /// Whether symbolic links may lead out of the folder.
    pub follow_links: bool,
    /// The split.
    pub split: String,
    /// Number of samples, at even distances.
    pub samples: usize,
    /// Longer side of each picture in pixels.
    pub side: usize,
    /// Each sample is shown again below itself as training sees it, if there is one.
    pub augment: Option<AugmentConfig>,
    /// Seed of the augmentation.
    pub seed: u64,
}

/// Draws samples of a data set: a column for each task with a label among them.
///
/// # Errors
/// A manifest, folder or sample that cannot be read; an augmentation out of range.
pub fn contact_sheet(sheet: &ContactSheet) -> Result<RgbImage> {
    let root = folder_of(&sheet.manifest, sheet.root.as_deref())?;
    let root = Root::new(&root, sheet.follow_links);
    let dataset = open(&sheet.manifest, &root, &sheet.split)?;
    let count = sheet.samples.clamp(1, dataset.len());
    let mut rows = Vec::new();
    for index in (0..count).map(|k| k * dataset.len() / count) {
        let sample = dataset.get(index)?;
        sample.check(dataset.tasks())?;
        let size = fitted(&sample, sheet.side);
        if let Some(augment) = &sheet.augment {
            let fill = [124, 116, 104];
            let transform = Transform::new(size, fill, Some(augment.clone()))?;
            let key = Key { seed: sheet.seed, epoch: 0, index: index as u64 };
            let moved = transform.apply(&sample, dataset.tasks(), key);
            rows.push(sample);
            rows.push(Sample { name: "augmented".to_owned(), ..moved });
        } else {
            rows.push(sample);
        }
    }
    let there = |task: &&TaskSpec| rows.iter().any(|row| row.labels.contains_key(&task.name));
    let tasks: Vec<&TaskSpec> = dataset.tasks().iter().filter(there).collect();
    Ok(drawn(&rows, &tasks, sheet.side))
}

/// The split with every task that has a file.
fn open(manifest: &Path, root: &Root, split: &str) -> Result<FolderDataset> {
    let all = FolderDataset::open_for(manifest, root, split, |_| false)?;
    let has =
        |task: &str| FolderDataset::open_for(manifest, root, split, |name| name == task).is_ok();
    let there: Vec<&str> =
        all.tasks().iter().map(|task| task.name.as_str()).filter(|task| has(task)).collect();
    Ok(FolderDataset::open_for(manifest, root, split, |name| there.contains(&name))?)
}

/// `[height, width]` of a sample whose longer side becomes `side`.
fn fitted(sample: &Sample, side: usize) -> [usize; 2] {
    let (height, width, _) = sample.image.dim();
    let longer = height.max(width);
    [height, width].map(|extent| (extent * side).div_ceil(longer).max(1))
}

fn drawn(rows: &[Sample], tasks: &[&TaskSpec], side: usize) -> RgbImage {
    let (cell, columns) = (side as u32, tasks.len() as u32 + 1);
    let heights: Vec<u32> = rows.iter().map(|row| fitted(row, side)[0] as u32).collect();
    let step = cell.max(tasks.iter().map(|task| width(&task.name)).max().unwrap_or(0)) + GAP;
    let high = LINE + heights.iter().map(|height| height + LINE + GAP).sum::<u32>();
    let mut sheet = RgbImage::from_pixel(columns * step, high, Rgb([255; 3]));
    for (column, task) in (1..).zip(tasks) {
        write(&mut sheet, &task.name, column * step, 0);
    }
    let mut top = LINE;
    for (row, height) in rows.iter().zip(heights) {
        write(&mut sheet, &row.name, 0, top);
        let size = fitted(row, side);
        let photograph = resize_image(row.image.view(), size);
        let cells = std::iter::once(plain(&photograph))
            .chain(tasks.iter().map(|task| cell_of(&photograph, row.labels.get(&task.name), task)));
        for (column, picture) in (0..).zip(cells) {
            imageops::replace(
                &mut sheet,
                &picture,
                i64::from(column * step),
                i64::from(top + LINE),
            );
        }
        top += height + LINE + GAP;
    }
    sheet
}

fn plain(photograph: &Array3<u8>) -> RgbImage {
    let (height, width, _) = photograph.dim();
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        Rgb([0, 1, 2].map(|c| photograph[[y as usize, x as usize, c]]))
    })
}

/// A label over its photograph; the name of the class where it is one of the whole image.
fn cell_of(photograph: &Array3<u8>, label: Option<&Label>, task: &TaskSpec) -> RgbImage {
    let mut cell = plain(photograph);
    let Some(label) = label else {
        cell.pixels_mut().for_each(|pixel| *pixel = Rgb(NOTHING));
        return cell;
    };
    if let Label::Category(class) = label {
        cell.pixels_mut().for_each(|pixel| *pixel = Rgb([255; 3]));
        let name = task.classes.get(*class as usize).map_or("", String::as_str);
        write(&mut cell, name, 2, 2);
        return cell;
    }
    let map = label.to_array();
    let colours = picture(task, map.slice(ndarray::s![..shown(task), .., ..]));
    let (width, height) = cell.dimensions();
    let known = |x: u32, y: u32| map.index_axis(Axis(0), 0)[[y as usize, x as usize]].is_finite();
    let (wide, high) = colours.dimensions();
    for (x, y, pixel) in cell.enumerate_pixels_mut() {
        let (u, v) = ((2 * x + 1) * wide / (2 * width), (2 * y + 1) * high / (2 * height));
        let colour = if known(u, v) { colours[(u, v)].0 } else { NOTHING };
        let mix = |c: usize| VEIL * f32::from(colour[c]) + (1.0 - VEIL) * f32::from(pixel.0[c]);
        *pixel = Rgb([0, 1, 2].map(|c| mix(c) as u8));
    }
    cell
}

/// Channels of a label that a picture shows.
fn shown(task: &TaskSpec) -> usize {
    if task.kind == TaskKind::Normals { 3 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_synthetic::write_copy;

    #[test]
    fn labels_and_augmentation_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        write_copy("pascal_context", folder.path()).unwrap();
        let sheet = ContactSheet {
            manifest: Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../datasets/pascal_context.toml"),
            root: Some(folder.path().to_owned()),
            follow_links: false,
            split: "val".to_owned(),
            samples: 2,
            side: 48,
            augment: None,
            seed: 0,
        };
        let image = contact_sheet(&sheet).unwrap();
        let before =
            ContactSheet { augment: AugmentConfig::preset("mtlora_pascal"), ..sheet.clone() };
        let augmented = contact_sheet(&before).unwrap();
        assert_eq!(augmented.width(), image.width());
        assert!(augmented.height() > image.height() + 48);
        // All five tasks beside the photographs, the names of which set the columns' width.
        assert_eq!(image.width(), 6 * (width("human_parts") + GAP));
        // With half of the files gone, the others are drawn.
        std::fs::remove_dir_all(folder.path().join("human_parts")).unwrap();
        let fewer = contact_sheet(&sheet).unwrap();
        assert_eq!(fewer.width(), 5 * (width("semseg").max(width("normals")).max(48) + GAP));
    }
}
