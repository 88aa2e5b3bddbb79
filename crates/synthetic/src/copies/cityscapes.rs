//! Cityscapes as its three archives unpack.
//!
//! Odd cases: the bonnet of the car that drives, classes that are not evaluated, pixels without
//! disparity, and a photograph without a disparity file.

use ndarray::Array2;

use super::picture::Picture;
use super::writer::CopyWriter;
use polyptych_data::region_boundaries;
use polyptych_data::{Label, Result};

const SIZE: [usize; 2] = [64, 128];
/// Photographs by split and city.
const SCENES: [(&str, &str, &[usize]); 4] = [
    ("train", "aachen", &[40, 41, 42, 43]),
    ("train", "bochum", &[44, 45, 46]),
    ("val", "frankfurt", &[47, 48, 49]),
    ("val", "munster", &[50, 51]),
];
/// This photograph has no disparity.
const WITHOUT: usize = 46;

/// Classes of the scenes as numbers of the authors' label table.
const IDS: [u8; 16] = [23, 7, 12, 11, 24, 20, 19, 17, 13, 8, 33, 5, 21, 11, 26, 22];
/// Numbers with instances.
const THINGS: [u8; 3] = [24, 26, 33];
const BONNET: u8 = 1;
const EVALUATED: [u8; 19] =
    [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33];
const METRE_PIXELS: f32 = 473.575;

pub(super) fn write(copy: &mut CopyWriter) -> Result<()> {
    for (split, city, scenes) in SCENES {
        for &scene in scenes {
            let (id, picture) = (format!("{city}_{scene:06}_000019"), Picture::draw(scene, SIZE)?);
            copy.image(split);
            let image = format!("leftImg8bit/{split}/{city}/{id}_leftImg8bit.png");
            copy.folder.colour_png(&image, &picture.image)?;
            classes(copy, split, &format!("gtFine/{split}/{city}/{id}_gtFine"), &picture)?;
            if scene != WITHOUT {
                let path = format!("disparity/{split}/{city}/{id}_disparity.png");
                disparity(copy, split, &path, &picture)?;
            }
        }
    }
    Ok(())
}

fn classes(copy: &mut CopyWriter, split: &str, path: &str, picture: &Picture) -> Result<()> {
    let mut ids = picture.mapped(&IDS);
    let bonnet = ids.nrows() - 4;
    ids.indexed_iter_mut().filter(|((y, _), _)| *y >= bonnet).for_each(|(_, id)| *id = BONNET);
    let instances = Array2::from_shape_fn(ids.dim(), |place| match ids[place] {
        id if THINGS.contains(&id) => u16::from(id) * 1000 + picture.instances[place],
        id => u16::from(id),
    });
    copy.folder.grey_png(&format!("{path}_labelIds.png"), &ids)?;
    let edges = Label::Edges(vec![region_boundaries(&instances.mapv(f64::from))]);
    copy.label(split, "edge", &edges);
    copy.folder.grey16_png(&format!("{path}_instanceIds.png"), &instances)?;
    let read = ids.mapv(|id| {
        EVALUATED.iter().position(|&known| known == id).map_or(255, |class| class as u8)
    });
    copy.label(split, "semseg", &Label::Classes(read));
    Ok(())
}

fn disparity(copy: &mut CopyWriter, split: &str, path: &str, picture: &Picture) -> Result<()> {
    let stored = picture.depth.mapv(|metres| match metres > 0.0 {
        true => (METRE_PIXELS / metres * 256.0 + 1.0).round().min(65535.0) as u16,
        false => 0,
    });
    // Stored 1 is a disparity of nothing: no distance either.
    let read = stored.mapv(|value| f32::from(u8::from(value > 1)));
    copy.label(split, "depth", &Label::Depth(read));
    copy.folder.grey16_png(path, &stored)
}
