//! ADE20K's scene parsing challenge as its archive unpacks.
//!
//! Odd cases: pixels of other things, which have no label, and folders that are not called as the
//! splits.

use super::picture::Picture;
use super::writer::CopyWriter;
use polyptych_data::{Label, Result};

const SIZE: [usize; 2] = [64, 88];
/// Photographs by split, its folder and the word in their names.
const SCENES: [(&str, &str, &str, &[usize]); 2] = [
    ("train", "training", "train", &[60, 61, 62, 63, 64, 65, 66]),
    ("val", "validation", "val", &[67, 68, 69, 70]),
];

/// Classes of the scenes as the challenge's 150, from 1; 0 is anything else.
const IDS: [u8; 16] = [3, 7, 1, 6, 13, 42, 44, 94, 33, 12, 128, 0, 5, 26, 21, 10];

pub(super) fn write(copy: &mut CopyWriter) -> Result<()> {
    for (split, folder, word, scenes) in SCENES {
        for &scene in scenes {
            let (id, picture) = (format!("ADE_{word}_{scene:08}"), Picture::draw(scene, SIZE)?);
            copy.image(split);
            copy.folder.jpeg(&format!("images/{folder}/{id}.jpg"), &picture.image)?;
            let ids = picture.mapped(&IDS);
            copy.folder.grey_png(&format!("annotations/{folder}/{id}.png"), &ids)?;
            copy.label(split, "semseg", &Label::Classes(ids.mapv(|id| id.wrapping_sub(1))));
        }
    }
    Ok(())
}
