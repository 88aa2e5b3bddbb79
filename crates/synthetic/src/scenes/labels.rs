//! Exact labels of what the centre rays met.

use std::collections::BTreeMap;

use ndarray::{Array2, Array3};

use super::{
    camera::View,
    classes::{OBJECT_COUNT, OBJECTS, SKY},
    render::Hit,
    world::World,
};
use polyptych_data::Label;

/// Instance of the sky.
pub(crate) const NOTHING: u16 = u16::MAX;

/// Smallest share of the image that a class must cover to be a tag or a salient object.
const VISIBLE: f32 = 0.005;

/// All labels of one image.
pub(crate) fn labels(world: &World, view: &View, hits: &[Hit]) -> BTreeMap<String, Label> {
    let instances = instances(world, view, hits);
    let classes = instances.map(|&i| class(world, i));
    let mut labels = BTreeMap::from([
        ("sal".to_owned(), Label::Binary(salient(world, view, hits, &instances))),
        ("normals".to_owned(), Label::Normals(normals(world, view, hits))),
        ("depth".to_owned(), Label::Depth(depth(view, hits))),
        ("edge".to_owned(), Label::Edges(vec![edges(&instances)])),
        ("tags".to_owned(), Label::Tags(tags(&classes))),
    ]);
    let parts = map(view, hits, |hit| hit.solid(world).map_or(0, |solid| solid.part));
    if parts.iter().any(|&part| part > 0) {
        labels.insert("human_parts".to_owned(), Label::Classes(parts));
    }
    labels.insert("semseg".to_owned(), Label::Classes(classes));
    labels
}

fn map<T>(view: &View, hits: &[Hit], value: impl Fn(&Hit) -> T) -> Array2<T> {
    Array2::from_shape_vec((view.height, view.width), hits.iter().map(value).collect())
        .expect("there is one hit per pixel")
}

/// Instance per pixel: of objects, of the faces of a room, [`NOTHING`] for the sky.
pub(crate) fn instances(world: &World, view: &View, hits: &[Hit]) -> Array2<u16> {
    map(view, hits, |hit| {
        hit.solid(world).map_or(NOTHING, |solid| match solid.shape {
            super::shape::Shape::Interior(_) => solid.instance + u16::from(hit.face),
            _ => solid.instance,
        })
    })
}

fn class(world: &World, instance: u16) -> u8 {
    world.instances.get(usize::from(instance)).map_or(SKY, |instance| instance.class)
}

fn depth(view: &View, hits: &[Hit]) -> Array2<f32> {
    map(view, hits, |hit| if hit.depth.is_finite() { hit.depth } else { 0.0 })
}

/// Geometric normals in camera coordinates: x right, y up, z towards the camera.
fn normals(world: &World, view: &View, hits: &[Hit]) -> Array3<f32> {
    let camera = view.camera;
    let mut values = Vec::with_capacity(hits.len() * 3);
    for (index, hit) in hits.iter().enumerate() {
        let Some(solid) = hit.solid(world) else {
            values.extend([0.0; 3]);
            continue;
        };
        let (x, y) = (index % view.width, index / view.width);
        let direction = view.direction(x as f32 + 0.5, y as f32 + 0.5);
        let point = solid.basis.to_local(camera.eye + direction * hit.depth - solid.centre);
        let normal = solid.basis.to_outer(solid.shape.normal(point, hit.face));
        let seen = camera.basis.to_local(normal).unit();
        values.extend([seen.x, seen.y, -seen.z]);
    }
    Array3::from_shape_vec((view.height, view.width, 3), values)
        .expect("three numbers were written per pixel")
}

/// 1 where the pixel to the right or below belongs to another instance.
fn edges(instances: &Array2<u16>) -> Array2<u8> {
    let (height, width) = instances.dim();
    Array2::from_shape_fn((height, width), |(y, x)| {
        let here = instances[[y, x]];
        let right = x + 1 < width && instances[[y, x + 1]] != here;
        let below = y + 1 < height && instances[[y + 1, x]] != here;
        u8::from(right || below)
    })
}

/// The pixels of the most salient object: none where no object covers half a percent of the image.
///
/// The score of an object sums over its visible pixels `(1 - r^2 / 2)^4 / (1 m + depth)`, where `r` is
/// the distance from the image's centre in units of half its height and half its width: large,
/// central and near objects win. Ties go to the instance that was placed first.
fn salient(world: &World, view: &View, hits: &[Hit], instances: &Array2<u16>) -> Array2<u8> {
    let mut scores = vec![(0.0_f32, 0_usize); world.instances.len()];
    for (((y, x), &instance), hit) in instances.indexed_iter().zip(hits) {
        if class(world, instance) >= OBJECTS {
            let offset = |at: usize, size: usize| (2.0 * at as f32 + 1.0) / size as f32 - 1.0;
            let (u, v) = (offset(x, view.width), offset(y, view.height));
            let (score, area) = &mut scores[usize::from(instance)];
            let central = 1.0 - 0.5 * (u * u + v * v);
            let central = central * central;
            *score += central * central / (1.0 + hit.depth);
            *area += 1;
        }
    }
    let least = VISIBLE * hits.len() as f32;
    let mut best = (0.0, NOTHING);
    for (index, &(score, area)) in scores.iter().enumerate() {
        if area as f32 >= least && score > best.0 {
            best = (score, index as u16);
        }
    }
    instances.map(|&instance| u8::from(instance == best.1 && instance != NOTHING))
}

/// Which object classes cover at least half a percent of the image.
fn tags(classes: &Array2<u8>) -> Vec<bool> {
    let mut counts = [0_usize; OBJECT_COUNT];
    for &class in classes.iter().filter(|&&class| class >= OBJECTS) {
        counts[usize::from(class - OBJECTS)] += 1;
    }
    counts.iter().map(|&count| count as f32 >= VISIBLE * classes.len() as f32).collect()
}
