//! PASCAL-Context with five tasks, as the archive `PASCAL_MT.tgz` holds it.
//!
//! Odd cases: images of different sizes, without people, with a person that covers no pixel, void
//! borders around objects, classes in two folders, as palette, grey and colours, saliency and
//! normals at half the size of their image.

use ndarray::{Array2, Array3};

use super::mat::{self, Value};
use super::picture::{Picture, known_normals, stored_normals};
use super::writer::CopyWriter;
use crate::scenes::classes::PERSON;
use polyptych_data::IGNORE;
use polyptych_data::region_boundaries;
use polyptych_data::{Label, Result};

/// Scenes by split; nobody is in those from 25 on.
const SCENES: [(&str, &[usize]); 2] =
    [("train", &[0, 1, 2, 3, 4, 5, 25, 41]), ("val", &[8, 11, 29, 42])];
const SIZES: [[usize; 2]; 3] = [[64, 96], [96, 64], [72, 96]];
const VOID_COLOUR: [u8; 3] = [224, 224, 192];

/// Classes of the scenes as those of the PASCAL VOC.
const VOC: [u8; 16] = [0, 0, 0, 0, 15, 20, 5, 0, 0, 11, 9, 0, 16, 0, 7, 5];
/// Classes of the scenes as those of PASCAL-Context; indoor scenes lack numbers 187, 360 and 415.
const CONTEXT: [u16; 16] =
    [360, 187, 440, 85, 284, 427, 34, 105, 104, 397, 72, 246, 415, 44, 59, 432];
/// Names that PASCAL-Part has for the parts 1 to 6 of the scenes.
const PARTS: [&str; 6] = ["head", "torso", "luarm", "rlarm", "ruleg", "llleg"];

pub(super) fn write(copy: &mut CopyWriter) -> Result<()> {
    for (split, scenes) in SCENES {
        let mut ids = Vec::new();
        for &scene in scenes {
            let id = format!("2008_{scene:06}");
            let picture = Picture::draw(scene, SIZES[scene % SIZES.len()])?;
            copy.image(split);
            copy.folder.jpeg(&format!("JPEGImages/{id}.jpg"), &picture.image)?;
            semseg(copy, (split, &id), &picture, scene)?;
            parts(copy, (split, &id), &picture, scene)?;
            saliency(copy, (split, &id), &picture, scene)?;
            normals(copy, (split, &id), &picture, scene)?;
            ids.push(id);
        }
        copy.folder.lines(&format!("ImageSets/Context/{split}.txt"), &ids)?;
    }
    Ok(())
}

/// Borders of objects are void, as annotators of the VOC left them.
fn semseg(
    copy: &mut CopyWriter,
    (split, id): (&str, &str),
    picture: &Picture,
    scene: usize,
) -> Result<()> {
    let mut classes = picture.mapped(&VOC);
    classes.zip_mut_with(&picture.edges, |class, &edge| {
        if edge == 1 {
            *class = IGNORE;
        }
    });
    copy.label(split, "semseg", &Label::Classes(classes.clone()));
    let palette: Vec<[u8; 3]> = (0..=255).map(colour).collect();
    let coloured = || {
        Array3::from_shape_fn((classes.nrows(), classes.ncols(), 3), |(y, x, c)| {
            palette[usize::from(classes[[y, x]])][c]
        })
    };
    match scene % 4 {
        0 | 2 => {
            copy.folder.palette_png(&format!("semseg/VOC12/{id}.png"), &classes, &palette)?;
            // Where both are there, the first counts.
            let empty = Array2::zeros(classes.dim());
            copy.folder.grey_png(&format!("semseg/pascal-context/{id}.png"), &empty)
        }
        1 => copy.folder.grey_png(&format!("semseg/pascal-context/{id}.png"), &classes),
        _ => copy.folder.colour_png(&format!("semseg/VOC12/{id}.png"), &coloured()),
    }
}

/// Colour of a class, as the VOC's tools compute it: bits of the number, spread over the channels.
fn colour(class: u8) -> [u8; 3] {
    if class == IGNORE {
        return VOID_COLOUR;
    }
    let bit = |place: u8| (class >> place) & 1;
    [0, 1, 2].map(|c| {
        (0..8 - c)
            .step_by(3)
            .zip(0..)
            .fold(0, |sum, (place, shift)| sum | bit(place + c) << (7 - shift))
    })
}

fn parts(
    copy: &mut CopyWriter,
    (split, id): (&str, &str),
    picture: &Picture,
    scene: usize,
) -> Result<()> {
    let mut objects = Vec::new();
    let mask = |wanted: &dyn Fn(u8) -> bool| picture.classes.mapv(|class| u8::from(wanted(class)));
    objects.push(object("diningtable", 11.0, mask(&|class| VOC[usize::from(class)] == 11), vec![]));
    match &picture.parts {
        Some(parts) => {
            let body = parts.mapv(|part| u8::from(part > 0));
            // The first mask covers all of the body: later ones count above it.
            let mut list = vec![("torso", body)];
            let limbs = (1..)
                .zip(PARTS)
                .map(|(part, name)| (name, parts.mapv(|found| u8::from(found == part))));
            list.extend(limbs.filter(|(_, mask)| mask.iter().any(|&inside| inside == 1)));
            objects.push(object("person", 15.0, mask(&|class| class == PERSON), list));
            copy.label(split, "human_parts", &Label::Classes(parts.clone()));
        }
        None if scene.is_multiple_of(2) => objects.clear(),
        None => {
            let nobody = Array2::zeros(picture.classes.dim());
            let hidden = vec![("head", Array2::ones(picture.classes.dim()))];
            objects.push(object("person", 15.0, nobody, hidden));
        }
    }
    let name = Value::Text(id.to_owned());
    let anno = Value::Structs(vec![vec![("imname", name), ("objects", Value::Structs(objects))]]);
    copy.folder.write(&format!("human_parts/{id}.mat"), &mat::file("anno", &anno))
}

fn object(
    class: &str,
    number: f64,
    mask: Array2<u8>,
    parts: Vec<(&str, Array2<u8>)>,
) -> Vec<(&'static str, Value)> {
    let part = |(name, mask): (&str, Array2<u8>)| {
        vec![("part_name", Value::Text(name.to_owned())), ("mask", Value::Bytes(mask))]
    };
    vec![
        ("class", Value::Text(class.to_owned())),
        ("class_ind", Value::Number(number)),
        ("mask", Value::Bytes(mask)),
        ("parts", Value::Structs(parts.into_iter().map(part).collect())),
    ]
}

/// Grey as a network drew it; every third at half the size.
fn saliency(
    copy: &mut CopyWriter,
    (split, id): (&str, &str),
    picture: &Picture,
    scene: usize,
) -> Result<()> {
    let [height, width] = picture.size();
    let step = if scene % 3 == 2 { 2 } else { 1 };
    let grey = Array2::from_shape_fn((height / step, width / step), |(y, x)| {
        if picture.salient[[step * y, step * x]] == 1 { 128 + (x % 128) as u8 } else { 127 }
    });
    let read =
        Array2::from_shape_fn((height, width), |(y, x)| u8::from(grey[[y / step, x / step]] > 127));
    copy.label(split, "sal", &Label::Binary(read));
    copy.folder.grey_png(&format!("sal_distill/{id}.png"), &grey)
}

/// Normals everywhere, as a network drew them, and the map that says where they count, whose
/// outlines are the boundaries.
fn normals(
    copy: &mut CopyWriter,
    (split, id): (&str, &str),
    picture: &Picture,
    scene: usize,
) -> Result<()> {
    let context = picture.mapped(&CONTEXT);
    let [height, width] = picture.size();
    let step = if scene % 3 == 1 { 2 } else { 1 };
    let up = |c: usize| if c == 2 { 1.0 } else { 0.0 };
    // A network has an answer for the sky too.
    let drawn = Array3::from_shape_fn((height / step, width / step, 3), |(y, x, c)| {
        let normal = [0, 1, 2].map(|c| picture.normals[[step * y, step * x, c]]);
        if normal == [0.0; 3] { up(c) } else { normal[c] }
    });
    let outdoors = |class: u16| matches!(class, 187 | 360 | 415 | 44);
    let counts = |y: usize, x: usize| {
        // The map at full size is read where the small picture's pixel has its centre.
        let centre = |place: usize| if step == 1 { place } else { place / 2 * 2 + 1 };
        !outdoors(context[[centre(y), centre(x)]])
    };
    let read = Array3::from_shape_fn((height, width, 3), |(y, x, c)| {
        if counts(y, x) { drawn[[y / step, x / step, c]] } else { 0.0 }
    });
    if read.iter().any(|&v| v != 0.0) {
        copy.label(split, "normals", &known_normals(&read));
    }
    let stored = stored_normals(&drawn, [1.0, -1.0, 1.0]);
    copy.folder.colour_png(&format!("normals_distill/{id}.png"), &stored)?;
    let edges = Label::Edges(vec![region_boundaries(&context.mapv(f64::from))]);
    copy.label(split, "edge", &edges);
    let bytes = mat::file("LabelMap", &Value::Words(context));
    copy.folder.write(&format!("pascal-context/trainval/{id}.mat"), &bytes)
}
