//! Flowers that differ by colour and shape of the petals and by their centre.

use super::stage::{Subject, part};
use crate::scenes::{
    math::{Basis, Vec3, vec3},
    rng::Stream,
    shape::Shape,
    texture::Material,
    thing::Thing,
};

/// Colour of the petals.
#[derive(Clone, Copy)]
enum Hue {
    Red,
    Yellow,
    Violet,
    White,
}

/// One kind of flower.
pub(super) struct Class {
    pub(super) name: &'static str,
    hue: Hue,
    /// Whether there are twelve narrow petals rather than five round ones.
    narrow: bool,
    /// Whether the centre is large and dark rather than small and pale.
    dark: bool,
}

const fn class(name: &'static str, hue: Hue, narrow: bool, dark: bool) -> Class {
    Class { name, hue, narrow, dark }
}

/// Every colour with every shape and every centre.
pub(super) const CLASSES: [Class; 16] = [
    class("red-round-petals-pale-eye", Hue::Red, false, false),
    class("red-round-petals-dark-eye", Hue::Red, false, true),
    class("red-narrow-petals-pale-eye", Hue::Red, true, false),
    class("red-narrow-petals-dark-eye", Hue::Red, true, true),
    class("yellow-round-petals-pale-eye", Hue::Yellow, false, false),
    class("yellow-round-petals-dark-eye", Hue::Yellow, false, true),
    class("yellow-narrow-petals-pale-eye", Hue::Yellow, true, false),
    class("yellow-narrow-petals-dark-eye", Hue::Yellow, true, true),
    class("violet-round-petals-pale-eye", Hue::Violet, false, false),
    class("violet-round-petals-dark-eye", Hue::Violet, false, true),
    class("violet-narrow-petals-pale-eye", Hue::Violet, true, false),
    class("violet-narrow-petals-dark-eye", Hue::Violet, true, true),
    class("white-round-petals-pale-eye", Hue::White, false, false),
    class("white-round-petals-dark-eye", Hue::White, false, true),
    class("white-narrow-petals-pale-eye", Hue::White, true, false),
    class("white-narrow-petals-dark-eye", Hue::White, true, true),
];

/// A flower on its stem, seen from above, its face turned up to 30 degrees from the camera.
pub(super) fn subject(rng: &mut Stream, class: &Class, variety: f32) -> Subject {
    let pitch = -0.8 + variety * rng.range(-0.3, 0.55);
    let face = face(rng, -pitch, variety);
    let height = rng.range(1.2, 2.0);
    let mut figure = part();
    blossom(rng, &mut figure, class, face);
    Subject {
        figure,
        support: stem(rng, height, face.y),
        lift: height,
        heading: std::f32::consts::PI,
        lean: Basis::WORLD,
        pitch,
        crowded: true,
    }
}

/// A frame whose y axis leaves the blossom, near the direction of a camera `height` radians up.
fn face(rng: &mut Stream, height: f32, variety: f32) -> Basis {
    let (up, flat) = libm::sincosf(height + variety * rng.range(-0.4, 0.4));
    let (aside, forward) = libm::sincosf(variety * rng.range(-0.45, 0.45));
    Basis::along(vec3(aside * flat, up, forward * flat)).compose(Basis::yaw(rng.turn()))
}

/// Petals around the y axis of `face`, and the centre.
fn blossom(rng: &mut Stream, figure: &mut Thing, class: &Class, face: Basis) {
    let colour = match class.hue {
        Hue::Red => rng.tint(6.0, [0.8, 0.98], [0.55, 0.95]),
        Hue::Yellow => rng.tint(1.0, [0.8, 0.98], [0.8, 1.0]),
        Hue::Violet => rng.tint(4.7, [0.55, 0.9], [0.5, 0.95]),
        Hue::White => rng.tint(0.7, [0.0, 0.08], [0.9, 1.0]),
    };
    let petal = Material { gloss: 0.0, ..Material::plain(rng, colour) };
    let reverse = Material { colours: petal.colours.map(|c| c * 0.8), ..petal };
    let cup = rng.range(0.0, 0.35);
    let (half, wide) = (rng.range(0.4, 0.46), width(class) * rng.range(0.93, 1.07));
    let start = if class.dark { 0.26 } else { 0.1 };
    let petals = if class.narrow { 12 } else { 5 };
    let step = std::f32::consts::TAU / petals as f32;
    for number in 0..petals {
        let angle = step * (number as f32 + rng.range(-0.08, 0.08));
        let out = half * rng.range(0.95, 1.05);
        let basis = face.compose(Basis::yaw(angle)).compose(raised(cup));
        let shape = Shape::Ellipsoid(vec3(wide, 0.03, out));
        // Neighbours differ a little in shade, so that the gaps between them show.
        let material = if number % 2 == 0 { petal } else { reverse };
        figure.turned(shape, basis.z * (start + out), basis, material);
    }
    eye(rng, figure, class.dark, face);
}

/// Half the width of a petal: round ones touch their neighbours, narrow ones leave gaps.
fn width(class: &Class) -> f32 {
    if class.narrow { 0.063 } else { 0.33 }
}

/// A frame whose z axis rises by `angle`.
fn raised(angle: f32) -> Basis {
    let (s, c) = libm::sincosf(angle);
    Basis { x: Vec3::X, y: vec3(0.0, c, -s), z: vec3(0.0, s, c) }
}

fn eye(rng: &mut Stream, figure: &mut Thing, dark: bool, face: Basis) {
    let colour = if dark {
        rng.tint(0.4, [0.3, 0.8], [0.12, 0.28])
    } else {
        rng.tint(0.95, [0.3, 0.8], [0.9, 1.0])
    };
    let radius = if dark { rng.range(0.28, 0.34) } else { rng.range(0.13, 0.17) };
    let eye = Material { gloss: 0.0, ..Material::plain(rng, colour) };
    let shape = Shape::Ellipsoid(vec3(radius, 0.12, radius));
    figure.turned(shape, face.y * 0.06, face, eye);
}

/// A bent stem with leaves, from the blossom at the origin down to the ground.
fn stem(rng: &mut Stream, height: f32, face: Vec3) -> Thing {
    let mut support = part();
    let hue = rng.range(1.4, 2.4);
    let colour = rng.tint(hue, [0.4, 0.8], [0.3, 0.6]);
    let green = Material { gloss: 0.1, ..Material::plain(rng, colour) };
    let bend = face * -0.35;
    let foot = vec3(1.5 * bend.x, -height, 1.5 * bend.z);
    rod(&mut support, Vec3::ZERO, bend, green);
    rod(&mut support, bend, foot, green);
    for _ in 0..2 + rng.below(4) {
        let root = bend.mix(foot, rng.range(0.2, 1.0));
        let leaf = Basis::yaw(rng.turn()).compose(raised(rng.range(-0.2, 0.9)));
        let half = rng.range(0.25, 0.5);
        let blade = Shape::Ellipsoid(vec3(0.3 * half, 0.02, half));
        support.turned(blade, root + leaf.z * half, leaf, green);
    }
    support
}

fn rod(support: &mut Thing, from: Vec3, to: Vec3, material: Material) {
    let path = to - from;
    let shape = Shape::Capsule { half: 0.5 * path.length(), radius: 0.045 };
    support.turned(shape, from.mix(to, 0.5), Basis::along(path), material);
}
