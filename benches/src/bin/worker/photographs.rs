//! Photographs of 480 x 360 pixels with dense labels, made of CamVid's whatever size they have here.

use std::fs::create_dir_all;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use image::{GrayImage, ImageFormat};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use ndarray::Array2;
use polyptych_data::{Dataset, FolderDataset, Label, Root, Sample, resize_image};

/// Height and width.
pub(crate) const SIZE: [usize; 2] = [360, 480];
/// As many as are read in a round.
pub(crate) const COUNT: usize = 96;
/// Names of the tasks, and their classes of CamVid: class `k` of a task are those that name it.
pub(crate) const TASKS: [(&str, usize); 4] =
    [("semseg", 11), ("sal", 2), ("edge", 2), ("parts", 4)];

const IGNORE: u8 = 255;
/// Car, the first that moves; pedestrian and bicyclist follow.
const CAR: u8 = 8;

/// What [`FolderDataset`] reads them by.
pub(crate) const MANIFEST: &str = r#"
name = "photographs"

[layout]
images = "images/{id}.jpg"

[splits]
train = {}

[[tasks]]
name = "semseg"
kind = "semseg"
label = "semseg/{id}.png"
format = "index_png"
ignore = [255]
classes = [
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian",
    "bicyclist",
]

[[tasks]]
name = "sal"
kind = "sal"
label = "sal/{id}.png"
format = "index_png"
ignore = [255]

[[tasks]]
name = "edge"
kind = "edge"
label = "edge/{id}.png"
format = "index_png"

[[tasks]]
name = "parts"
kind = "semseg"
label = "parts/{id}.png"
format = "index_png"
ignore = [255]
classes = ["still", "car", "pedestrian", "bicyclist"]
"#;

/// Writes them into `folder`: JPEG of quality 90 with halved chroma, as cameras do, and index PNG.
pub(crate) fn make(folder: &Path) -> Result<()> {
    let camvid = camvid()?;
    for task in std::iter::once("images").chain(TASKS.map(|task| task.0)) {
        create_dir_all(folder.join(task))?;
    }
    (0..COUNT.min(camvid.len())).try_for_each(|index| write(folder, &camvid.get(index)?))
}

/// CamVid where `cargo xtask data fetch` puts it, or beside the checkout.
fn camvid() -> Result<FolderDataset> {
    let checkout = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let places = ["data/camvid", "../shared/data/camvid"].map(|place| checkout.join(place));
    let Some(root) = places.iter().find(|place| place.is_dir()) else {
        bail!("expected CamVid in data/camvid, found nothing: `cargo xtask data fetch camvid`")
    };
    let manifest = checkout.join("datasets/camvid.toml");
    Ok(FolderDataset::open(&manifest, &Root::new(root, true), "train")?)
}

fn write(folder: &Path, sample: &Sample) -> Result<()> {
    let [height, width] = SIZE;
    let path =
        |task: &str, ending: &str| folder.join(task).join(format!("{}.{ending}", sample.name));
    let pixels = resize_image(sample.image.view(), SIZE).into_raw_vec_and_offset().0;
    let mut encoder = Encoder::new_file(path("images", "jpg"), 90)?;
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(&pixels, width as u16, height as u16, ColorType::Rgb)?;
    let Some(Label::Classes(classes)) = sample.labels.get("semseg") else {
        bail!("{}: expected classes, found none", sample.name)
    };
    let (rows, columns) = classes.dim();
    let classes = Array2::from_shape_fn((height, width), |(y, x)| {
        classes[[y * rows / height, x * columns / width]]
    });
    let labels = [classes.clone(), classes.mapv(salient), edges(&classes), classes.mapv(part)];
    for ((task, _), label) in TASKS.iter().zip(labels) {
        let bytes = label.into_raw_vec_and_offset().0;
        let picture = GrayImage::from_raw(width as u32, height as u32, bytes);
        let picture = picture.context("one byte for every pixel")?;
        picture.save_with_format(path(task, "png"), ImageFormat::Png)?;
    }
    Ok(())
}

fn part(class: u8) -> u8 {
    if class == IGNORE { IGNORE } else { (class + 1).saturating_sub(CAR) }
}

fn salient(class: u8) -> u8 {
    if class == IGNORE { IGNORE } else { part(class).min(1) }
}

/// 1 where the pixel to the right or below has another class.
fn edges(classes: &Array2<u8>) -> Array2<u8> {
    let (height, width) = classes.dim();
    Array2::from_shape_fn((height, width), |(y, x)| {
        let beside = [(y, (x + 1).min(width - 1)), ((y + 1).min(height - 1), x)];
        u8::from(beside.iter().any(|&place| classes[place] != classes[(y, x)]))
    })
}
