//! Flowers that differ by number and shape of the petals and by their centre.

use super::stage::{Subject, part};
use crate::scenes::{
    math::{Basis, Vec3, vec3},
    object::Thing,
    rng::Stream,
    shape::Shape,
    texture::Material,
};

/// One kind of flower.
pub(super) struct Class {
    pub(super) name: &'static str,
    petals: usize,
    narrow: bool,
    /// Whether the centre is large and dark rather than small and pale.
    dark: bool,
}

const fn class(name: &'static str, petals: usize, narrow: bool, dark: bool) -> Class {
    Class { name, petals, narrow, dark }
}

/// Every number of petals with every shape and every centre.
pub(super) const CLASSES: [Class; 16] = [
    class("four-round-petals-pale-eye", 4, false, false),
    class("four-round-petals-dark-eye", 4, false, true),
    class("four-narrow-petals-pale-eye", 4, true, false),
    class("four-narrow-petals-dark-eye", 4, true, true),
    class("five-round-petals-pale-eye", 5, false, false),
    class("five-round-petals-dark-eye", 5, false, true),
    class("five-narrow-petals-pale-eye", 5, true, false),
    class("five-narrow-petals-dark-eye", 5, true, true),
    class("eight-round-petals-pale-eye", 8, false, false),
    class("eight-round-petals-dark-eye", 8, false, true),
    class("eight-narrow-petals-pale-eye", 8, true, false),
    class("eight-narrow-petals-dark-eye", 8, true, true),
    class("twelve-round-petals-pale-eye", 12, false, false),
    class("twelve-round-petals-dark-eye", 12, false, true),
    class("twelve-narrow-petals-pale-eye", 12, true, false),
    class("twelve-narrow-petals-dark-eye", 12, true, true),
];

/// A flower on its stem, seen from above, its face turned up to 30 degrees from the camera.
pub(super) fn subject(rng: &mut Stream, class: &Class) -> Subject {
    let pitch = rng.range(-1.1, -0.25);
    let face = face(rng, -pitch);
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
fn face(rng: &mut Stream, height: f32) -> Basis {
    let (up, flat) = libm::sincosf(height + rng.range(-0.4, 0.4));
    let (aside, ahead) = libm::sincosf(rng.range(-0.45, 0.45));
    Basis::along(vec3(aside * flat, up, ahead * flat)).compose(Basis::yaw(rng.turn()))
}

/// Petals around the y axis of `face`, and the centre.
fn blossom(rng: &mut Stream, figure: &mut Thing, class: &Class, face: Basis) {
    // Any hue but green.
    let hue = rng.range(3.2, 7.3);
    let colour = rng.tint(hue, [0.15, 0.95], [0.6, 0.98]);
    let petal = Material { gloss: 0.0, ..Material::plain(rng, colour) };
    let reverse = Material { colours: petal.colours.map(|c| c * 0.8), ..petal };
    let cup = rng.range(0.0, 0.35);
    let (half, wide) = (rng.range(0.4, 0.46), width(class) * rng.range(0.93, 1.07));
    let start = if class.dark { 0.26 } else { 0.1 };
    let step = std::f32::consts::TAU / class.petals as f32;
    for number in 0..class.petals {
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
    let round = match class.petals {
        4 => 0.4,
        5 => 0.33,
        8 => 0.215,
        _ => 0.15,
    };
    if class.narrow { 0.42 * round } else { round }
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
