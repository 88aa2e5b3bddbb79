//! The tiny split of Taskonomy: one folder for each domain, and in it one for each building.

use ndarray::Array2;

use super::picture::{Picture, known_normals, stored_normals};
use super::writer::CopyWriter;
use polyptych_data::{Label, Result};

const SIZE: [usize; 2] = [64, 64];
/// Photographs by split and building; the last building is in no split.
const SCENES: [(&str, &str, &[usize]); 5] = [
    ("train", "allensville", &[60, 61, 62, 63]),
    ("train", "woodbine", &[64, 65, 66]),
    ("val", "corozal", &[67, 68, 69]),
    ("test", "ihlen", &[70, 71]),
    ("", "tansboro", &[72]),
];
/// Where the mesh has a hole.
const HOLE: u16 = u16::MAX;

pub(super) fn write(copy: &mut CopyWriter) -> Result<()> {
    for (split, building, scenes) in SCENES {
        for &scene in scenes {
            let picture = Picture::draw(scene, SIZE)?;
            let path = |domain: &str| {
                format!("{domain}/{building}/point_{scene}_view_1_domain_{domain}.png")
            };
            copy.folder.colour_png(&path("rgb"), &picture.image)?;
            if !split.is_empty() {
                copy.image(split);
                labels(copy, split, &path, &picture)?;
            }
        }
    }
    Ok(())
}

fn labels(
    copy: &mut CopyWriter,
    split: &str,
    path: &dyn Fn(&str) -> String,
    picture: &Picture,
) -> Result<()> {
    let depth = picture.depth.mapv(|metres| match metres > 0.0 {
        true => (512.0 * metres).round().clamp(1.0, 65534.0) as u16,
        false => HOLE,
    });
    copy.folder.grey16_png(&path("depth_zbuffer"), &depth)?;
    let read = depth.mapv(|value| if value == HOLE { 0.0 } else { f32::from(value) / 512.0 });
    copy.label(split, "depth", &Label::Depth(read));
    copy.folder.colour_png(&path("normal"), &stored_normals(&picture.normals, [1.0; 3]))?;
    copy.label(split, "normals", &known_normals(&picture.normals));
    strengths(copy, (split, "edge"), &path("edge_texture"), &picture.edges)?;
    let sparse = Array2::from_shape_fn(picture.edges.dim(), |(y, x)| {
        u8::from(picture.edges[[y, x]] == 1 && (3 * y + 7 * x) % 11 == 0)
    });
    strengths(copy, (split, "keypoints"), &path("keypoints2d"), &sparse)
}

/// Strengths of 16 bits above and below the manifest's threshold.
fn strengths(
    copy: &mut CopyWriter,
    (split, task): (&str, &str),
    path: &str,
    map: &Array2<u8>,
) -> Result<()> {
    copy.label(split, task, &Label::Edges(vec![map.clone()]));
    copy.folder.grey16_png(path, &map.mapv(|on| if on == 1 { 30_000 } else { 900 }))
}
