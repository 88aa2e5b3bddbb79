//! Tree, house and car.

use crate::scenes::{
    classes,
    math::{Basis, Vec3, vec3},
    rng::Stream,
    shape::Shape,
    texture::{Material, Pattern},
    thing::Thing,
};

/// Leaves: mostly green, some autumnal, any now and then.
fn leaves(rng: &mut Stream, size: f32) -> Material {
    let hue = match rng.below(8) {
        0 => rng.range(0.0, 6.0),
        1 | 2 => rng.range(0.2, 1.2),
        _ => rng.range(1.3, 2.6),
    };
    let first = rng.tint(hue, [0.35, 0.85], [0.3, 0.8]);
    let second = first * rng.range(0.3, 0.6);
    let mut material = Material::of(rng, first, second, Pattern::Speckle, size);
    material.frequency *= 1.5;
    material.grain = rng.range(0.7, 1.2);
    material.gloss = 0.0;
    material
}

/// A stem with a crown of cones or of balls; indoors a small one in a pot.
pub(super) fn tree(rng: &mut Stream, outside: bool) -> Thing {
    let mut thing = Thing::new(classes::TREE);
    let height = if outside { rng.range(2.4, 6.0) } else { rng.range(1.1, 1.9) };
    let (bark, crown) = (Material::wood(rng, 0.5), leaves(rng, 0.35 * height));
    let pot = if outside { 0.0 } else { 0.3 };
    if !outside {
        let clay = Material::any(rng, 0.5);
        thing.turnery(0.0, pot, 0.14, 0.2, clay);
    }
    let stem = height * rng.range(0.2, 0.42);
    thing.turnery(0.0, stem + 0.2 * height, 0.035 * height, 0.02 * height, bark);
    let (foot, tall) = (stem.max(pot), height - stem.max(pot));
    if rng.chance(0.4) {
        let wide = tall * rng.range(0.32, 0.48);
        for (level, share) in [(0.0, 1.0), (0.28, 0.78), (0.54, 0.55)] {
            let head = foot + tall * if level > 0.5 { 1.0 } else { level + 0.5 };
            thing.turnery(foot + tall * level, head, wide * share, 0.0, crown);
        }
    } else {
        let (wide, middle) = (tall * rng.range(0.28, 0.45), foot + 0.5 * tall);
        let core = vec3(wide, 0.5 * tall, wide * rng.range(0.8, 1.0));
        thing.add(Shape::Ellipsoid(core), vec3(0.0, middle, 0.0), crown);
        for _ in 0..rng.below(5) {
            let (s, c) = libm::sincosf(rng.turn());
            let centre =
                vec3(s * wide * 0.7, middle + tall * rng.range(-0.25, 0.3), c * wide * 0.7);
            let size = wide * rng.range(0.4, 0.65);
            thing.add(Shape::Ellipsoid(vec3(size, size * 0.85, size)), centre, crown);
        }
    }
    thing
}

pub(super) fn house(rng: &mut Stream) -> Thing {
    let mut thing = Thing::new(classes::HOUSE);
    let edges = vec3(rng.range(3.2, 5.5), rng.range(2.2, 4.2), rng.range(3.2, 6.5));
    let mut wall = Material::any(rng, 2.5);
    wall.gloss = 0.0;
    let tiles = Material::any(rng, 1.5);
    thing.block(edges, 0.0, 0.0, 0.0, wall);
    let rise = rng.range(1.0, 2.2);
    let half = vec3(0.5 * edges.x + 0.3, 0.5 * rise, 0.5 * edges.z + 0.25);
    let top = rng.pick(&[0.0, 0.0, 0.35]);
    thing.add(Shape::Gable { half, top }, vec3(0.0, edges.y + 0.5 * rise, 0.0), tiles);
    let glass = rng.colour([0.0, 0.5], [0.1, 0.5]);
    let (pane, wood) = (Material::plain(rng, glass), Material::any(rng, 0.8));
    for front in [-1.0, 1.0] {
        let face = front * 0.5 * edges.z;
        let door = rng.range(-0.3, 0.3) * edges.x;
        thing.block(vec3(0.9, 1.9, 0.12), door, 0.0, face, wood);
        for side in [-1.0, 1.0] {
            let x = side * 0.3 * edges.x;
            if edges.y > 3.0 || (x - door).abs() > 1.1 {
                let foot = if edges.y > 3.0 { edges.y - 1.5 } else { 1.0 };
                thing.block(vec3(0.8, 0.9, 0.1), x, foot, face, pane);
            }
            let z = side * 0.25 * edges.z;
            thing.block(vec3(0.1, 0.9, 0.9), front * 0.5 * edges.x, 1.0, z, pane);
        }
    }
    if rng.chance(0.5) {
        thing.block(vec3(0.5, rise + 0.5, 0.5), 0.25 * edges.x, edges.y, 0.2 * edges.z, wood);
    }
    thing
}

/// Body, cabin and wheels; front along z.
pub(super) fn car(rng: &mut Stream) -> Thing {
    let mut thing = Thing::new(classes::CAR);
    let (long, wide) = (rng.range(3.4, 4.6), rng.range(1.6, 1.85));
    let (clear, waist) = (rng.range(0.22, 0.35), rng.range(0.55, 0.75));
    let mut paint = Material::any(rng, 2.0);
    paint.gloss = rng.range(0.3, 0.9);
    let dark = rng.colour([0.0, 0.4], [0.1, 0.3]);
    let (rubber, glass) = (Material::plain(rng, dark), Material::plain(rng, dark * 1.6));
    thing.block(vec3(wide, waist, long), 0.0, clear, 0.0, paint);
    cabin(rng, &mut thing, vec3(wide, clear + waist, long), paint, glass);
    let radius = rng.range(0.29, 0.38);
    let wheel = Shape::Frustum { half: 0.11, low: radius, high: radius };
    let hub = Shape::Frustum { half: 0.12, low: radius * 0.5, high: radius * 0.5 };
    let metal = Material::plain(rng, Vec3::splat(0.4));
    for (sx, sz) in [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)] {
        let centre = vec3(sx * (0.5 * wide - 0.06), radius, sz * 0.31 * long);
        thing.turned(wheel, centre, Basis::along(Vec3::X), rubber);
        thing.turned(hub, centre, Basis::along(Vec3::X), metal);
    }
    let mut light = Material::plain(rng, vec3(0.9, 0.85, 0.7));
    light.glow = 0.3;
    for side in [-1.0, 1.0] {
        let x = side * 0.36 * wide;
        thing.block(vec3(0.3, 0.16, 0.06), x, clear + 0.55 * waist, 0.5 * long, light);
    }
    thing
}

/// The upper half on a body of `size` (width, waist height, length): saloon, hatchback or van.
fn cabin(rng: &mut Stream, thing: &mut Thing, size: Vec3, paint: Material, glass: Material) {
    let (share, shift) = rng.pick(&[(0.5, -0.04), (0.62, -0.16), (0.86, -0.06)]);
    let (tall, slope) = (rng.range(0.48, 0.75), rng.range(0.62, 0.85));
    let half = vec3(0.5 * share * size.z, 0.5 * tall, 0.46 * size.x);
    // Gables narrow along x, so the cabin lies across: its x axis is the car's length.
    let across = Basis { x: Vec3::Z, y: Vec3::Y, z: -Vec3::X };
    let centre = vec3(0.0, size.y + 0.5 * tall, shift * size.z);
    thing.turned(Shape::Gable { half, top: slope }, centre, across, glass);
    let roof = vec3(half.z * 2.0, 0.07, 2.0 * half.x * slope);
    thing.block(roof, 0.0, size.y + tall - 0.05, centre.z, paint);
    for (end, thick) in [(-0.96, 0.1), (0.05, 0.12), (0.96, 0.1)] {
        let z = centre.z + end * half.x * (0.5 + 0.5 * slope);
        thing.block(vec3(half.z * 2.03, tall, thick), 0.0, size.y, z, paint);
    }
}
