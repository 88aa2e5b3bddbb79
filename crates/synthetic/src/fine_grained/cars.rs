//! Cars that differ by body style and by the colour of the roof.

use super::stage::{Subject, part};
use crate::scenes::{
    math::{Basis, Vec3, vec3},
    rng::Stream,
    shape::Shape,
    texture::Material,
    thing::Thing,
};

/// Shape of the upper half.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Saloon,
    Hatchback,
    Estate,
    Van,
    Pickup,
}

/// One model of car.
pub(super) struct Class {
    pub(super) name: &'static str,
    style: Style,
    /// Whether roof and pillars are white instead of the colour of the body.
    white_roof: bool,
}

const fn class(name: &'static str, style: Style, white_roof: bool) -> Class {
    Class { name, style, white_roof }
}

/// Each style in one colour and with a white roof; neighbouring styles differ in the slope and end
/// of the roof.
pub(super) const CLASSES: [Class; 10] = [
    class("saloon", Style::Saloon, false),
    class("saloon-white-roof", Style::Saloon, true),
    class("hatchback", Style::Hatchback, false),
    class("hatchback-white-roof", Style::Hatchback, true),
    class("estate", Style::Estate, false),
    class("estate-white-roof", Style::Estate, true),
    class("van", Style::Van, false),
    class("van-white-roof", Style::Van, true),
    class("pickup", Style::Pickup, false),
    class("pickup-white-roof", Style::Pickup, true),
];

/// Measures of one car in metres.
struct Build {
    long: f32,
    wide: f32,
    /// Height of the sills and of the upper edge of the doors.
    sill: f32,
    waist: f32,
    /// Wheel radius.
    wheel: f32,
    /// Height of the cabin, its length at the waist, its middle, and how much of it the roof keeps.
    tall: f32,
    cabin: f32,
    middle: f32,
    slope: f32,
}

impl Build {
    fn draw(rng: &mut Stream, class: &Class) -> Build {
        let long = rng.range(3.9, 4.4);
        let sill = rng.range(0.24, 0.3);
        // Length and middle of the cabin as shares of the car's length.
        let (tall, cabin, middle, slope) = match class.style {
            Style::Saloon => (0.58, 0.56, -0.04, 0.58),
            Style::Hatchback => (0.62, 0.62, -0.18, 0.68),
            Style::Estate => (0.58, 0.66, -0.165, 0.88),
            Style::Van => (1.1, 0.82, -0.085, 0.9),
            Style::Pickup => (0.65, 0.36, 0.06, 0.72),
        };
        let cabin = cabin * long;
        Build {
            long,
            wide: rng.range(1.65, 1.85),
            sill,
            waist: sill + rng.range(0.55, 0.65),
            wheel: rng.range(0.3, 0.34),
            tall: tall * rng.range(0.95, 1.05),
            cabin,
            middle: middle * long,
            slope,
        }
    }
}

/// A car on the ground, from any side but straight in front or behind, from a little above.
pub(super) fn subject(rng: &mut Stream, class: &Class, variety: f32) -> Subject {
    let build = Build::draw(rng, class);
    let paint = paint(rng);
    let dark = rng.colour([0.0, 0.4], [0.08, 0.25]);
    let rubber = Material::plain(rng, dark);
    let mut figure = part();
    hull(rng, &mut figure, &build, class.style, paint);
    let white = Material { gloss: paint.gloss, ..Material::plain(rng, Vec3::splat(0.95)) };
    let roof = if class.white_roof { white } else { paint };
    cabin(rng, &mut figure, &build, class.style, [paint, roof]);
    wheels(rng, &mut figure, &build, rubber);
    let side = rng.pick(&[-1.0, 1.0]);
    Subject {
        figure,
        support: part(),
        lift: 0.0,
        heading: side * (std::f32::consts::FRAC_PI_2 + variety * rng.range(-1.15, 1.15)),
        lean: Basis::WORLD,
        pitch: -0.3 + variety * rng.range(-0.2, 0.18),
        crowded: true,
    }
}

/// Any colour that is not so pale that a white roof could be lost on it.
fn paint(rng: &mut Stream) -> Material {
    let colour = rng.colour([0.3, 0.95], [0.25, 0.75]);
    let mut paint = Material::plain(rng, colour);
    paint.gloss = rng.range(0.2, 0.8);
    paint.grain = rng.range(0.0, 0.2);
    paint
}

/// The lower half with bumpers and lights; a pick-up has a bed instead of a boot.
fn hull(rng: &mut Stream, figure: &mut Thing, build: &Build, style: Style, paint: Material) {
    let Build { long, wide, sill, waist, .. } = *build;
    let deep = waist - sill;
    if style == Style::Pickup {
        bed(figure, build, paint);
    } else {
        figure.block(vec3(wide, deep, long), 0.0, sill, 0.0, paint);
    }
    let grey = rng.colour([0.0, 0.2], [0.15, 0.8]);
    let bumper = Material::plain(rng, grey);
    for end in [-0.5, 0.5] {
        figure.block(vec3(0.96 * wide, 0.16, 0.14), 0.0, sill + 0.04, end * long, bumper);
    }
    let lamps = [(0.5, vec3(0.9, 0.85, 0.7)), (-0.5, vec3(0.7, 0.02, 0.02))];
    for (end, colour) in lamps {
        let lamp = Material { glow: 0.3, ..Material::plain(rng, colour) };
        for side in [-0.37, 0.37] {
            let size = vec3(0.32, 0.17, 0.06);
            figure.block(size, side * wide, sill + 0.55 * deep, end * long, lamp);
        }
    }
}

/// Front half, floor, side walls and tailgate of a pick-up.
fn bed(figure: &mut Thing, build: &Build, paint: Material) {
    let Build { long, wide, sill, waist, cabin, middle, .. } = *build;
    let deep = waist - sill;
    let start = middle - 0.5 * cabin;
    let front = 0.5 * long - start;
    figure.block(vec3(wide, deep, front), 0.0, sill, start + 0.5 * front, paint);
    let back = long - front;
    let centre = start - 0.5 * back;
    figure.block(vec3(wide, 0.4 * deep, back), 0.0, sill, centre, paint);
    for side in [-0.5, 0.5] {
        figure.block(vec3(0.1, deep, back), side * (wide - 0.1), sill, centre, paint);
    }
    figure.block(vec3(wide, deep, 0.1), 0.0, sill, 0.05 - 0.5 * long, paint);
}

/// Glass with a painted roof and pillars; a van's rear half is painted over.
fn cabin(
    rng: &mut Stream,
    figure: &mut Thing,
    build: &Build,
    style: Style,
    [paint, top]: [Material; 2],
) {
    let Build { wide, waist, tall, cabin, middle, slope, .. } = *build;
    let tone = rng.colour([0.0, 0.4], [0.12, 0.4]);
    let glass = Material { gloss: 0.6, grain: 0.05, ..Material::plain(rng, tone) };
    let half = vec3(0.5 * cabin, 0.5 * tall, 0.46 * wide);
    // Gables narrow along x, so the cabin lies across: its x axis is the car's length.
    let across = Basis { x: Vec3::Z, y: Vec3::Y, z: -Vec3::X };
    let centre = vec3(0.0, waist + half.y, middle);
    figure.turned(Shape::Gable { half, top: slope }, centre, across, glass);
    let roof = vec3(2.0 * half.z + 0.04, 0.08, cabin * slope + 0.04);
    figure.block(roof, 0.0, waist + tall - 0.06, middle, top);
    let upright = 0.5 * cabin * (0.5 + 0.5 * slope);
    for end in [-0.93, 0.1, 0.93] {
        figure.block(vec3(2.0 * half.z + 0.03, tall, 0.1), 0.0, waist, middle + end * upright, top);
    }
    if style == Style::Van {
        let load = vec3(2.0 * half.z + 0.05, tall, 0.55 * cabin);
        figure.block(load, 0.0, waist, middle - 0.18 * cabin, paint);
    }
}

fn wheels(rng: &mut Stream, figure: &mut Thing, build: &Build, rubber: Material) {
    let radius = build.wheel;
    let tone = rng.range(0.25, 0.7);
    let metal = Material::plain(rng, Vec3::splat(tone));
    let tyre = Shape::Frustum { half: 0.14, low: radius, high: radius };
    let hub = Shape::Frustum { half: 0.15, low: 0.55 * radius, high: 0.55 * radius };
    for (x, z) in [(-0.5, -0.31), (-0.5, 0.31), (0.5, -0.31), (0.5, 0.31)] {
        let centre = vec3(x * (build.wide - 0.14), radius, z * build.long);
        figure.turned(tyre, centre, Basis::along(Vec3::X), rubber);
        figure.turned(hub, centre, Basis::along(Vec3::X), metal);
    }
}
