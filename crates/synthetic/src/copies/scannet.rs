//! ScanNet's frames of the 2D benchmark as `scannet_frames_25k.zip` unpacks.
//!
//! Odd cases: lists of scenes instead of images, classes that the benchmark does not count, and
//! depth and labels of other sizes than their images.

use ndarray::Array2;

use super::picture::Picture;
use super::writer::CopyWriter;
use polyptych_data::{Label, Result, region_boundaries};

/// Sides of all but the images, which are twice as long.
const SIZE: [usize; 2] = [48, 64];
/// Frames by split and scene: the first of the built-in scenes, and how many.
const SCENES: [(&str, &str, usize, usize); 4] = [
    ("train", "scene0000_00", 120, 4),
    ("train", "scene0001_01", 124, 3),
    ("val", "scene0011_00", 127, 2),
    ("val", "scene0015_00", 129, 2),
];
/// Frames that the benchmark keeps are so far from each other.
const STRIDE: usize = 100;

/// Classes of the scenes as NYUD's 40; 0 is no label.
const IDS: [u8; 16] = [0, 2, 1, 22, 31, 3, 40, 38, 40, 7, 5, 35, 40, 8, 39, 34];
/// NYUD's classes of the benchmark, in its order.
const BENCHMARK: [u8; 20] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39];

pub(super) fn write(copy: &mut CopyWriter) -> Result<()> {
    for (split, folder, first, count) in SCENES {
        for number in 0..count {
            let frame = (folder, format!("{:06}", STRIDE * number));
            let large = Picture::draw(first + number, SIZE.map(|side| 2 * side))?;
            copy.image(split);
            copy.folder.jpeg(&format!("{folder}/color/{}.jpg", frame.1), &large.image)?;
            labels(copy, split, frame, &Picture::draw(first + number, SIZE)?)?;
        }
    }
    for split in ["train", "val"] {
        let scenes = SCENES.iter().filter(|(own, ..)| *own == split);
        let scenes: Vec<String> = scenes.map(|(_, folder, ..)| (*folder).to_owned()).collect();
        copy.folder.lines(&format!("scannetv2_{split}.txt"), &scenes)?;
    }
    Ok(())
}

fn labels(
    copy: &mut CopyWriter,
    split: &str,
    (folder, frame): (&str, String),
    picture: &Picture,
) -> Result<()> {
    let path = |what: &str| format!("{folder}/{what}/{frame}.png");
    let ids = picture.mapped(&IDS);
    copy.folder.grey_png(&path("label"), &ids)?;
    let class = |id: u8| BENCHMARK.iter().position(|&known| known == id);
    let read = ids.mapv(|id| class(id).map_or(255, |class| class as u8));
    copy.label(split, "semseg", &Label::Classes(doubled(&read)));
    let depth = picture.depth.mapv(|metres| (1000.0 * metres).round().min(65535.0) as u16);
    copy.folder.grey16_png(&path("depth"), &depth)?;
    let read = depth.mapv(|value| (f64::from(value) * 0.001) as f32);
    copy.label(split, "depth", &Label::Depth(doubled(&read)));
    let instances = picture.instances.mapv(|instance| (instance % 256) as u8);
    copy.folder.grey_png(&path("instance"), &instances)?;
    let edges = region_boundaries(&instances.mapv(f64::from));
    copy.label(split, "edge", &Label::Edges(vec![doubled(&edges)]));
    Ok(())
}

/// Twice as long sides, each value four times.
fn doubled<T: Copy>(map: &Array2<T>) -> Array2<T> {
    let (height, width) = map.dim();
    Array2::from_shape_fn((2 * height, 2 * width), |(y, x)| map[[y / 2, x / 2]])
}
