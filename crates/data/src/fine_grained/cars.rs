//! Cars that differ by body style and trim.

use super::stage::{Subject, part};
use crate::scenes::{
    math::{Basis, Vec3, vec3},
    object::Thing,
    rng::Stream,
    shape::Shape,
    texture::{Material, Pattern},
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

/// What a model has beside its body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trim {
    Plain,
    Spoiler,
    Rack,
    RoofBox,
    CabLights,
    LargeWheels,
}

/// One model of car.
pub(super) struct Class {
    pub(super) name: &'static str,
    style: Style,
    trim: Trim,
}

const fn class(name: &'static str, style: Style, trim: Trim) -> Class {
    Class { name, style, trim }
}

/// Each style in two trims; neighbouring styles differ in the slope and end of the roof.
pub(super) const CLASSES: [Class; 10] = [
    class("saloon-plain", Style::Saloon, Trim::Plain),
    class("saloon-spoiler", Style::Saloon, Trim::Spoiler),
    class("hatchback-spoiler", Style::Hatchback, Trim::Spoiler),
    class("hatchback-large-wheels", Style::Hatchback, Trim::LargeWheels),
    class("estate-plain", Style::Estate, Trim::Plain),
    class("estate-rack", Style::Estate, Trim::Rack),
    class("van-plain", Style::Van, Trim::Plain),
    class("van-roof-box", Style::Van, Trim::RoofBox),
    class("pickup-cab-lights", Style::Pickup, Trim::CabLights),
    class("pickup-large-wheels", Style::Pickup, Trim::LargeWheels),
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
        let large = class.trim == Trim::LargeWheels;
        let sill = if large { 0.5 } else { 0.27 } + rng.range(-0.03, 0.03);
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
            wheel: if large { 0.5 } else { 0.32 } + rng.range(-0.02, 0.02),
            tall: tall * rng.range(0.95, 1.05),
            cabin,
            middle: middle * long,
            slope,
        }
    }

    fn roof(&self) -> f32 {
        self.waist + self.tall
    }
}

/// A car on the ground, from any side but straight ahead or behind, from a little above.
pub(super) fn subject(rng: &mut Stream, class: &Class) -> Subject {
    let build = Build::draw(rng, class);
    let paint = paint(rng);
    let dark = rng.colour([0.0, 0.4], [0.08, 0.25]);
    let rubber = Material::plain(rng, dark);
    let mut figure = part();
    hull(rng, &mut figure, &build, class.style, paint);
    cabin(rng, &mut figure, &build, class.style, paint);
    wheels(rng, &mut figure, &build, rubber);
    trim(&mut figure, &build, class, paint, rubber);
    let side = rng.pick(&[-1.0, 1.0]);
    Subject {
        figure,
        support: part(),
        lift: 0.0,
        heading: side * (std::f32::consts::FRAC_PI_2 + rng.range(-1.15, 1.15)),
        lean: Basis::WORLD,
        pitch: rng.range(-0.5, -0.12),
        crowded: true,
    }
}

/// Any colour, at times in two tones.
fn paint(rng: &mut Stream) -> Material {
    let first = rng.colour([0.0, 0.95], [0.3, 0.98]);
    let pattern = rng.pick(&[Pattern::Plain, Pattern::Plain, Pattern::Plain, Pattern::Speckle]);
    let second = rng.colour([0.0, 0.9], [0.3, 0.95]);
    let mut paint = Material::of(rng, first, second, pattern, 2.0);
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
fn cabin(rng: &mut Stream, figure: &mut Thing, build: &Build, style: Style, paint: Material) {
    let Build { wide, waist, tall, cabin, middle, slope, .. } = *build;
    let tone = rng.colour([0.0, 0.4], [0.12, 0.4]);
    let glass = Material { gloss: 0.6, grain: 0.05, ..Material::plain(rng, tone) };
    let half = vec3(0.5 * cabin, 0.5 * tall, 0.46 * wide);
    // Gables narrow along x, so the cabin lies across: its x axis is the car's length.
    let across = Basis { x: Vec3::Z, y: Vec3::Y, z: -Vec3::X };
    let centre = vec3(0.0, waist + half.y, middle);
    figure.turned(Shape::Gable { half, top: slope }, centre, across, glass);
    let roof = vec3(2.0 * half.z + 0.04, 0.08, cabin * slope + 0.04);
    figure.block(roof, 0.0, waist + tall - 0.06, middle, paint);
    let upright = 0.5 * cabin * (0.5 + 0.5 * slope);
    for end in [-0.93, 0.1, 0.93] {
        figure.block(
            vec3(2.0 * half.z + 0.03, tall, 0.1),
            0.0,
            waist,
            middle + end * upright,
            paint,
        );
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

fn trim(figure: &mut Thing, build: &Build, class: &Class, paint: Material, dark: Material) {
    match class.trim {
        Trim::Plain | Trim::LargeWheels => {}
        Trim::Spoiler => spoiler(figure, build, class.style, paint),
        Trim::Rack => rack(figure, build, dark),
        Trim::RoofBox => {
            rack(figure, build, dark);
            let size = vec3(0.55 * build.wide, 0.3, 0.5 * build.cabin);
            figure.block(size, 0.0, build.roof() + 0.15, build.middle, dark);
        }
        Trim::CabLights => {
            let lamp = Material { glow: 1.0, colours: [vec3(0.95, 0.6, 0.05); 2], ..paint };
            for x in [-0.3, 0.0, 0.3] {
                let front = build.middle + 0.42 * build.cabin * build.slope;
                figure.block(vec3(0.3, 0.16, 0.2), x * build.wide, build.roof(), front, lamp);
            }
        }
    }
}

/// A board over the boot, or behind the roof where there is none.
fn spoiler(figure: &mut Thing, build: &Build, style: Style, paint: Material) {
    let rear = -0.5 * build.long;
    if style == Style::Saloon {
        for side in [-0.35, 0.35] {
            figure.block(vec3(0.1, 0.3, 0.14), side * build.wide, build.waist, rear + 0.25, paint);
        }
        figure.block(vec3(build.wide, 0.09, 0.4), 0.0, build.waist + 0.28, rear + 0.2, paint);
    } else {
        let edge = build.middle - 0.5 * build.cabin * build.slope;
        figure.block(vec3(0.95 * build.wide, 0.12, 0.6), 0.0, build.roof(), edge - 0.12, paint);
    }
}

/// Two rails along the roof and three bars across.
fn rack(figure: &mut Thing, build: &Build, dark: Material) {
    let (long, top) = (build.cabin * build.slope, build.roof());
    for side in [-0.36, 0.36] {
        figure.block(vec3(0.1, 0.16, 0.9 * long), side * build.wide, top, build.middle, dark);
    }
    for end in [-0.35, 0.0, 0.35] {
        let bar = vec3(0.85 * build.wide, 0.08, 0.12);
        figure.block(bar, 0.0, top + 0.1, build.middle + end * long, dark);
    }
}
