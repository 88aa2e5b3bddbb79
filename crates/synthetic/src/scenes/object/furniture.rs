//! Table, chair and lamp.

use crate::scenes::{
    classes,
    math::{Basis, Vec3, vec3},
    rng::Stream,
    shape::Shape,
    texture::Material,
    thing::Thing,
};

/// Wood as often as anything else.
fn finish(rng: &mut Stream, size: f32) -> Material {
    if rng.chance(0.5) { Material::wood(rng, size) } else { Material::any(rng, size) }
}

/// Four legs from the floor to `height`, `x` and `z` off the middle.
fn legs(
    thing: &mut Thing,
    height: f32,
    x: f32,
    z: f32,
    thick: f32,
    round: bool,
    material: Material,
) {
    for (sx, sz) in [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)] {
        let (half, radius) = (0.5 * height, 0.5 * thick);
        let shape = if round {
            Shape::Frustum { half, low: radius * 0.7, high: radius }
        } else {
            Shape::Block(vec3(radius, half, radius))
        };
        thing.add(shape, vec3(x * sx, half, z * sz), material);
    }
}

pub(super) fn table(rng: &mut Stream) -> Thing {
    let mut thing = Thing::new(classes::TABLE);
    let (width, depth) = (rng.range(0.9, 1.7), rng.range(0.7, 1.0));
    let (height, plate) = (rng.range(0.5, 0.85), rng.range(0.04, 0.09));
    let (top, frame) = (finish(rng, width), finish(rng, 0.4));
    let under = height - plate;
    if rng.chance(0.35) {
        let radius = 0.5 * width * 0.85;
        thing.turnery(under, height, radius, radius, top);
        thing.turnery(0.0, under, 0.06, 0.06, frame);
        thing.turnery(0.0, 0.05, radius * 0.55, radius * 0.5, frame);
        thing.top = Some((height, radius * 0.6));
    } else {
        thing.block(vec3(width, plate, depth), 0.0, under, 0.0, top);
        let (thick, round) = (rng.range(0.05, 0.1), rng.chance(0.5));
        legs(&mut thing, under, 0.5 * width - thick, 0.5 * depth - thick, thick, round, frame);
        thing.top = Some((height, depth * 0.35));
    }
    thing
}

pub(super) fn chair(rng: &mut Stream) -> Thing {
    let mut thing = Thing::new(classes::CHAIR);
    let (width, seat) = (rng.range(0.42, 0.62), rng.range(0.42, 0.52));
    let (plate, back) = (rng.range(0.04, 0.12), rng.range(0.45, 0.75));
    let (cover, frame) = (finish(rng, width), finish(rng, 0.4));
    thing.block(vec3(width, plate, width), 0.0, seat - plate, 0.0, cover);
    let (thick, half) = (rng.range(0.04, 0.07), 0.5 * width);
    let round = rng.chance(0.5);
    legs(&mut thing, seat - plate, half - thick, half - thick, thick, round, frame);
    let (s, c) = libm::sincosf(rng.range(0.0, 0.2));
    let lean = Basis { x: Vec3::X, y: vec3(0.0, c, -s), z: vec3(0.0, s, c) };
    let rest = |height: f32| lean.y * height + vec3(0.0, seat, 0.5 * thick - half);
    if rng.chance(0.5) {
        let shape = Shape::Block(vec3(half, 0.5 * back, 0.5 * thick));
        thing.turned(shape, rest(0.5 * back), lean, cover);
    } else {
        for side in [-1.0, 1.0] {
            let post = Shape::Block(vec3(0.5 * thick, 0.5 * back, 0.5 * thick));
            let aside = vec3(side * (half - 0.5 * thick), 0.0, 0.0);
            thing.turned(post, rest(0.5 * back) + aside, lean, frame);
        }
        for share in [0.5, 0.85] {
            let slat = Shape::Block(vec3(half, back * 0.13, 0.4 * thick));
            thing.turned(slat, rest(share * back), lean, cover);
        }
    }
    if rng.chance(0.3) {
        for side in [-1.0, 1.0] {
            thing.block(vec3(thick, 0.04, width), side * half, seat + 0.2, 0.0, frame);
            thing.block(vec3(thick, 0.2, thick), side * half, seat, half - thick, frame);
        }
    }
    thing
}

/// A pole with a shade; outside a tall one with one or two globes.
pub(super) fn lamp(rng: &mut Stream, outside: bool) -> Thing {
    let mut thing = Thing::new(classes::LAMP);
    let (frame, mut shade) = (Material::any(rng, 0.4), Material::any(rng, 0.5));
    shade.glow = rng.pick(&[0.0, 0.5, 1.1]);
    if outside {
        let height = rng.range(2.6, 4.2);
        thing.turnery(0.0, 0.25, 0.16, 0.1, frame);
        thing.turnery(0.0, height, 0.07, 0.05, frame);
        let (arm, globe) = (rng.range(0.35, 0.6), rng.range(0.18, 0.3));
        if rng.chance(0.5) {
            thing.block(vec3(2.0 * arm, 0.06, 0.06), 0.0, height - 0.06, 0.0, frame);
            for side in [-1.0, 1.0] {
                let centre = vec3(side * arm, height + globe, 0.0);
                thing.add(Shape::Ellipsoid(Vec3::splat(globe)), centre, shade);
            }
        } else {
            thing.turnery(height, height + 2.2 * globe, 0.7 * globe, 1.2 * globe, shade);
        }
    } else {
        let height = rng.range(0.9, 1.6);
        let (wide, tall) = (rng.range(0.2, 0.34), rng.range(0.22, 0.4));
        thing.turnery(0.0, 0.05, wide * 0.7, wide * 0.6, frame);
        thing.turnery(0.0, height, 0.028, 0.022, frame);
        thing.turnery(height, height + tall, wide, wide * rng.range(0.45, 0.75), shade);
    }
    thing
}
