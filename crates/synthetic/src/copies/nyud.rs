//! NYUD-v2 with four tasks, as the archive `NYUD_MT.tgz` holds it.
//!
//! Odd cases: pixels without class, depth or normal, and images and labels of the later copies
//! whose files are PNGs.

use ndarray::{Array2, Array3};

use super::picture::{Picture, known_normals, stored_normals};
use super::writer::CopyWriter;
use polyptych_data::{Label, Result};

const SIZE: [usize; 2] = [68, 90];
const SCENES: [(&str, &[usize]); 2] =
    [("train", &[20, 21, 22, 23, 24, 25, 26, 27]), ("val", &[28, 29, 30, 31])];
/// From here on files are those of the later copies.
const LATER: usize = 30;

/// Classes of the scenes as NYUD's 40, from 1; 0 is no label.
const FORTY: [u8; 16] = [0, 2, 1, 22, 31, 29, 40, 38, 40, 7, 5, 35, 40, 38, 39, 40];

pub(super) fn write(copy: &mut CopyWriter) -> Result<()> {
    for (split, scenes) in SCENES {
        let mut ids = Vec::new();
        for &scene in scenes {
            let id = format!("{scene:06}");
            let picture = Picture::draw(scene, SIZE)?;
            copy.image(split);
            match scene < LATER {
                true => copy.folder.jpeg(&format!("images/{id}.jpg"), &picture.image)?,
                false => copy.folder.colour_png(&format!("images/{id}.png"), &picture.image)?,
            }
            maps(copy, (split, &id), &picture)?;
            surfaces(copy, (split, &id), &picture, scene)?;
            ids.push(id);
        }
        copy.folder.lines(&format!("gt_sets/{split}.txt"), &ids)?;
    }
    Ok(())
}

fn maps(copy: &mut CopyWriter, (split, id): (&str, &str), picture: &Picture) -> Result<()> {
    let classes = picture.mapped(&FORTY);
    copy.folder.grey_png(&format!("segmentation/{id}.png"), &classes)?;
    copy.label(split, "semseg", &Label::Classes(classes.mapv(|class| class.wrapping_sub(1))));
    // The camera sees nothing in the left columns, nor anything more than ten metres away.
    let depth = Array2::from_shape_fn(picture.depth.dim(), |(y, x)| {
        let metres = picture.depth[[y, x]];
        if x < 3 || metres > 10.0 { 0.0 } else { metres }
    });
    copy.folder.npy(&format!("depth/{id}.npy"), &depth.clone().into_dyn())?;
    copy.label(split, "depth", &Label::Depth(depth));
    Ok(())
}

fn surfaces(
    copy: &mut CopyWriter,
    (split, id): (&str, &str),
    picture: &Picture,
    scene: usize,
) -> Result<()> {
    copy.label(split, "normals", &known_normals(&picture.normals));
    copy.label(split, "edge", &Label::Edges(vec![picture.edges.clone()]));
    let signs = [1.0, -1.0, 1.0];
    if scene >= LATER {
        let edges = picture.edges.mapv(|edge| 255 * edge);
        copy.folder.grey_png(&format!("edge/{id}.png"), &edges)?;
        let stored = stored_normals(&picture.normals, signs);
        return copy.folder.colour_png(&format!("normals/{id}.png"), &stored);
    }
    let normals = Array3::from_shape_fn(picture.normals.dim(), |(y, x, c)| {
        signs[c] * picture.normals[[y, x, c]]
    });
    copy.folder.npy(&format!("normals/{id}.npy"), &normals.into_dyn())?;
    copy.folder.npy(&format!("edge/{id}.npy"), &picture.edges.mapv(f32::from).into_dyn())
}
