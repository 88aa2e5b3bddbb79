//! SUN RGB-D as its archive unpacks, with the maps of 37 classes beside each image.
//!
//! Odd cases: folders of several depths, names of frames that every sensor gives in its own way,
//! depth whose bits are rotated, and an image without depth.

use ndarray::Array2;

use super::picture::Picture;
use super::writer::CopyWriter;
use polyptych_data::{Label, Result};

const SIZE: [usize; 2] = [72, 96];
/// A split: its name, the number of its first scene, folders and frames.
type Split = (&'static str, usize, &'static [(&'static str, &'static str)]);
const SCENES: [Split; 2] = [
    (
        "train",
        100,
        &[
            ("kv1/NYUdata/NYU0100", "NYU0100"),
            ("kv1/b3dodata/img_0101", "img_0101"),
            ("kv2/kinect2data/000102_2014-05-16_20-14-38_rgbf000121-resize", "0000121"),
            ("kv2/align_kv2/2014-12-18_11-34-09_260595134347", "0000337"),
            ("realsense/sa/2014_10_21-18_02_13-1311000073", "0000104"),
            ("xtion/sun3ddata/brown_cogsci_1/brown_cogsci_1/0000105-000003501852", "0000105"),
            ("xtion/xtion_align_data/2014_10_28-15_39_03-1311000084", "0000106"),
        ],
    ),
    (
        "test",
        107,
        &[
            ("kv1/NYUdata/NYU0107", "NYU0107"),
            ("kv2/kinect2data/000108_2014-05-14_21-23-48_rgbf000100-resize", "0000100"),
            ("realsense/lg/2014_10_20-16_47_05-1311000073", "0000109"),
            ("xtion/sun3ddata/mit_32_d463/d463_1/0000110-000004403862", "0000110"),
        ],
    ),
];
/// This image has no depth.
const WITHOUT: usize = 105;

/// Classes of the scenes as the 37, from 1; 0 is no label.
const IDS: [u8; 16] = [0, 2, 1, 22, 31, 29, 0, 3, 0, 7, 5, 35, 0, 11, 6, 32];

pub(super) fn write(copy: &mut CopyWriter) -> Result<()> {
    for (split, first, frames) in SCENES {
        for (scene, (folder, frame)) in (first..).zip(frames) {
            let picture = Picture::draw(scene, SIZE)?;
            copy.image(split);
            copy.folder.jpeg(&format!("{folder}/image/{frame}.jpg"), &picture.image)?;
            let ids = picture.mapped(&IDS);
            copy.folder.grey_png(&format!("{folder}/label37/{frame}.png"), &ids)?;
            copy.label(split, "semseg", &Label::Classes(ids.mapv(|id| id.wrapping_sub(1))));
            if scene != WITHOUT {
                depth(copy, split, &format!("{folder}/depth_bfx/{frame}.png"), &picture.depth)?;
            }
        }
        let folders: Vec<String> = frames.iter().map(|(folder, _)| (*folder).to_owned()).collect();
        copy.folder.lines(&format!("{split}.txt"), &folders)?;
    }
    Ok(())
}

/// Millimetres, of which 16 bits are rotated to the left by three.
fn depth(copy: &mut CopyWriter, split: &str, path: &str, metres: &Array2<f32>) -> Result<()> {
    let millimetres = metres.mapv(|metres| (1000.0 * metres).round().min(65535.0) as u16);
    copy.folder.grey16_png(path, &millimetres.mapv(|value| value.rotate_left(3)))?;
    let read = millimetres.mapv(|value| (f64::from(value) * 0.001) as f32);
    copy.label(split, "depth", &Label::Depth(read));
    Ok(())
}
