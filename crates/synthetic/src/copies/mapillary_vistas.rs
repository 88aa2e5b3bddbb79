//! Mapillary Vistas, version 1.2, as its archive unpacks.
//!
//! Odd cases: label maps whose palette is not ours, pixels without label, and folders that are not
//! called as the splits.

use ndarray::Array2;

use super::picture::Picture;
use super::writer::CopyWriter;
use polyptych_data::{Label, Result, region_boundaries};

const SIZE: [usize; 2] = [64, 96];
/// Photographs by split and its folder.
const SCENES: [(&str, &str, &[usize]); 2] = [
    ("train", "training", &[80, 81, 82, 83, 84, 85, 86]),
    ("val", "validation", &[87, 88, 89, 90]),
];

/// Classes of the scenes as the authors' 65.
const IDS: [u8; 16] = [27, 13, 6, 17, 19, 50, 48, 45, 3, 15, 52, UNLABELED, 30, 17, 55, 29];
const UNLABELED: u8 = 65;
/// Classes with instances.
const THINGS: [u8; 4] = [19, 50, 52, 55];

pub(super) fn write(copy: &mut CopyWriter) -> Result<()> {
    // Colours of a copy in circulation mean nothing: the numbers count.
    let palette: Vec<[u8; 3]> = (0..=UNLABELED).map(|id| [id * 3, 255 - id, 128]).collect();
    for (split, folder, scenes) in SCENES {
        for &scene in scenes {
            let (id, picture) = (format!("mapillary-{scene:04}"), Picture::draw(scene, SIZE)?);
            copy.image(split);
            copy.folder.jpeg(&format!("{folder}/images/{id}.jpg"), &picture.image)?;
            let ids = picture.mapped(&IDS);
            copy.folder.palette_png(&format!("{folder}/labels/{id}.png"), &ids, &palette)?;
            let known = ids.mapv(|id| if id == UNLABELED { 255 } else { id });
            copy.label(split, "semseg", &Label::Classes(known));
            instances(copy, (split, &format!("{folder}/instances/{id}.png")), &ids, &picture)?;
        }
    }
    Ok(())
}

fn instances(
    copy: &mut CopyWriter,
    (split, path): (&str, &str),
    ids: &Array2<u8>,
    picture: &Picture,
) -> Result<()> {
    let instances = Array2::from_shape_fn(ids.dim(), |place| match ids[place] {
        id if THINGS.contains(&id) => u16::from(id) * 256 + picture.instances[place] % 256,
        id => u16::from(id) * 256,
    });
    let edges = Label::Edges(vec![region_boundaries(&instances.mapv(f64::from))]);
    copy.label(split, "edge", &edges);
    copy.folder.grey16_png(path, &instances)
}
