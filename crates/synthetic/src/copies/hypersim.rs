//! Hypersim as the archives of its scenes unpack.
//!
//! Odd cases: several cameras in a scene, depth that is no number where there is nothing, and
//! classes of -1.

use ndarray::{Array2, Array3};

use super::hdf5::{Numbers, file};
use super::picture::{Picture, known_normals};
use super::writer::CopyWriter;
use polyptych_data::{Label, Result, region_boundaries};

const SIZE: [usize; 2] = [48, 64];
/// Frames by split, scene and camera: the first of the built-in scenes, and how many.
const SCENES: [(&str, &str, &str, usize, usize); 5] = [
    ("train", "ai_001_001", "cam_00", 140, 2),
    ("train", "ai_001_001", "cam_01", 142, 2),
    ("train", "ai_001_002", "cam_00", 144, 2),
    ("val", "ai_003_001", "cam_00", 146, 3),
    ("test", "ai_003_010", "cam_00", 149, 2),
];

/// Classes of the scenes as NYUD's 40; -1 is no label.
const IDS: [i16; 16] = [-1, 2, 1, 22, 31, 29, 40, 38, 40, 7, 5, 35, 40, 38, 39, 40];

pub(super) fn write(copy: &mut CopyWriter) -> Result<()> {
    for (split, scene, camera, first, count) in SCENES {
        for number in 0..count {
            let picture = Picture::draw(first + number, SIZE)?;
            let place = format!("{scene}/images/scene_{camera}");
            let frame = format!("frame.{number:04}");
            copy.image(split);
            let image = format!("{place}_final_preview/{frame}.tonemap.jpg");
            copy.folder.jpeg(&image, &picture.image)?;
            labels(copy, split, &format!("{place}_geometry_hdf5/{frame}"), &picture)?;
        }
    }
    for split in ["train", "val", "test"] {
        let scenes = SCENES.iter().filter(|(own, ..)| *own == split);
        let mut scenes: Vec<String> = scenes.map(|(_, scene, ..)| (*scene).to_owned()).collect();
        scenes.dedup();
        copy.folder.lines(&format!("{split}.txt"), &scenes)?;
    }
    Ok(())
}

fn labels(copy: &mut CopyWriter, split: &str, path: &str, picture: &Picture) -> Result<()> {
    let [height, width] = picture.size();
    let write = |what: &str, shape: &[usize], numbers: Numbers| {
        copy.folder.write(&format!("{path}.{what}.hdf5"), &file("dataset", shape, numbers))
    };
    let ids = picture.mapped(&IDS);
    write("semantic", &[height, width], Numbers::Shorts(flat(&ids)))?;
    let instances = picture.instances.mapv(|instance| (instance % 256) as i16);
    write("semantic_instance", &[height, width], Numbers::Shorts(flat(&instances)))?;
    let depth = picture.depth.mapv(|metres| if metres > 0.0 { metres } else { f32::NAN });
    write("depth_meters", &[height, width], Numbers::Floats(flat(&depth)))?;
    write("normal_cam", &[height, width, 3], Numbers::Floats(flat_vectors(&picture.normals)))?;
    let classes = ids.mapv(|id| if id < 0 { 255 } else { (id - 1) as u8 });
    copy.label(split, "semseg", &Label::Classes(classes));
    copy.label(split, "depth", &Label::Depth(picture.depth.clone()));
    copy.label(split, "normals", &known_normals(&picture.normals));
    let edges = region_boundaries(&instances.mapv(f64::from));
    copy.label(split, "edge", &Label::Edges(vec![edges]));
    Ok(())
}

fn flat<T: Copy>(map: &Array2<T>) -> Vec<T> {
    map.iter().copied().collect()
}

fn flat_vectors(map: &Array3<f32>) -> Vec<f32> {
    map.iter().copied().collect()
}
