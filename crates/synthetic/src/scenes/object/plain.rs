//! Simple bodies: box, ball, column, cone, vase.

use crate::scenes::{
    classes,
    math::{Basis, vec3},
    rng::Stream,
    shape::Shape,
    texture::Material,
    thing::Thing,
};

pub(super) fn carton(rng: &mut Stream, outside: bool) -> Thing {
    let mut thing = Thing::new(classes::BOX);
    let size = if outside { rng.range(0.5, 1.2) } else { rng.range(0.35, 0.8) };
    let edges = vec3(size, size * rng.range(0.6, 1.2), size * rng.range(0.6, 1.2));
    let body = Material::any(rng, size);
    thing.block(edges, 0.0, 0.0, 0.0, body);
    if rng.chance(0.3) {
        let lid = Material::any(rng, size);
        thing.block(vec3(edges.x * 1.08, size * 0.12, edges.z * 1.08), 0.0, edges.y, 0.0, lid);
    }
    thing
}

pub(super) fn ball(rng: &mut Stream) -> Thing {
    let mut thing = Thing::new(classes::BALL);
    let radius = rng.range(0.18, 0.5);
    let material = Material::any(rng, radius * 2.0);
    let lean = vec3(rng.range(-1.0, 1.0), 1.0, rng.range(-1.0, 1.0));
    let centre = vec3(0.0, radius, 0.0);
    thing.turned(
        Shape::Ellipsoid(vec3(1.0, 1.0, 1.0) * radius),
        centre,
        Basis::along(lean),
        material,
    );
    thing
}

pub(super) fn column(rng: &mut Stream) -> Thing {
    let mut thing = Thing::new(classes::COLUMN);
    let (radius, height) = (rng.range(0.14, 0.32), rng.range(1.1, 2.3));
    let (shaft, ends) = (Material::any(rng, radius * 3.0), Material::any(rng, radius * 3.0));
    let taper = rng.range(0.8, 1.0);
    thing.turnery(0.0, height, radius, radius * taper, shaft);
    if rng.chance(0.7) {
        let (wide, plate) = (radius * rng.range(1.2, 1.5), height * 0.07);
        thing.turnery(0.0, plate, wide, wide, ends);
        thing.turnery(height, height + plate, radius * taper, wide, ends);
    }
    thing
}

pub(super) fn cone(rng: &mut Stream) -> Thing {
    let mut thing = Thing::new(classes::CONE);
    let radius = rng.range(0.2, 0.42);
    let height = radius * rng.range(1.8, 3.2);
    let material = Material::any(rng, radius * 2.0);
    let foot = if rng.chance(0.5) { 0.06 } else { 0.0 };
    if foot > 0.0 {
        let plate = Material::any(rng, radius * 2.0);
        thing.block(vec3(radius * 2.4, foot, radius * 2.4), 0.0, 0.0, 0.0, plate);
    }
    let tip = radius * rng.pick(&[0.0, 0.0, 0.12]);
    thing.turnery(foot, foot + height, radius, tip, material);
    thing
}

/// Foot, belly, shoulder, neck and lip: narrow below, widest at the middle, narrow above.
pub(super) fn vase(rng: &mut Stream, outside: bool) -> Thing {
    let mut thing = Thing::new(classes::VASE);
    let height = if outside { rng.range(0.7, 1.3) } else { rng.range(0.45, 1.0) };
    let (belly, neck) = (height * rng.range(0.26, 0.4), height * rng.range(0.07, 0.14));
    let foot = belly * rng.range(0.4, 0.65);
    let material = Material::any(rng, height);
    let mut second = Material::any(rng, height);
    if rng.chance(0.6) {
        second = material;
    }
    let at = |share: f32| share * height;
    let (waist, shoulder) = (rng.range(0.3, 0.45), rng.range(0.55, 0.68));
    thing.turnery(0.0, at(waist), foot, belly, material);
    thing.turnery(at(waist), at(shoulder), belly, belly * 0.85, second);
    thing.turnery(at(shoulder), at(0.8), belly * 0.85, neck, material);
    thing.turnery(at(0.8), at(0.94), neck, neck, material);
    thing.turnery(at(0.94), at(1.0), neck, neck * rng.range(1.4, 2.0), second);
    thing
}
