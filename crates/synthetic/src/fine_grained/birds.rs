//! Birds that differ by cap, bill, tail, wing bars and legs.

use super::stage::{Subject, part};
use crate::scenes::{
    math::{Basis, Vec3, vec3},
    rng::Stream,
    shape::Shape,
    texture::Material,
    thing::Thing,
};

/// Colour of the top of the head.
#[derive(Clone, Copy)]
enum Cap {
    Red,
    White,
    Black,
}

/// One kind of bird.
pub(super) struct Class {
    pub(super) name: &'static str,
    cap: Cap,
    long_bill: bool,
    long_tail: bool,
    wing_bars: bool,
    long_legs: bool,
}

const fn class(name: &'static str, cap: Cap, details: [bool; 4]) -> Class {
    let [long_bill, long_tail, wing_bars, long_legs] = details;
    Class { name, cap, long_bill, long_tail, wing_bars, long_legs }
}

const NO: bool = false;
const YES: bool = true;

/// Of two kinds with one cap, at least two details differ: bill, tail, wing bars, legs.
pub(super) const CLASSES: [Class; 12] = [
    class("red-cap-plain", Cap::Red, [NO, NO, NO, NO]),
    class("red-cap-long-bill-long-tail", Cap::Red, [YES, YES, NO, NO]),
    class("red-cap-wing-bars-long-legs", Cap::Red, [NO, NO, YES, YES]),
    class("red-cap-long-bill-wing-bars", Cap::Red, [YES, NO, YES, NO]),
    class("white-cap-long-tail-long-legs", Cap::White, [NO, YES, NO, YES]),
    class("white-cap-long-bill-long-legs", Cap::White, [YES, NO, NO, YES]),
    class("white-cap-long-tail-wing-bars", Cap::White, [NO, YES, YES, NO]),
    class("white-cap-plain", Cap::White, [NO, NO, NO, NO]),
    class("black-cap-long-bill-long-tail", Cap::Black, [YES, YES, NO, NO]),
    class("black-cap-wing-bars-long-legs", Cap::Black, [NO, NO, YES, YES]),
    class("black-cap-long-bill-long-legs", Cap::Black, [YES, NO, NO, YES]),
    class("black-cap-long-tail-wing-bars", Cap::Black, [NO, YES, YES, NO]),
];

/// Colours of one bird: the cap is fixed by its class, the rest is not.
struct Plumage {
    back: Material,
    belly: Material,
    wing: Material,
    cap: Material,
    horn: Material,
    pale: Material,
    dark: Material,
}

impl Plumage {
    fn draw(rng: &mut Stream, cap: Cap) -> Plumage {
        // Neither red nor so pale or dark that a cap could be lost in it.
        let hue = rng.pick(&[0.5, 0.6, 1.2, 2.2, 3.0, 3.6, 4.2]) + rng.range(-0.2, 0.2);
        let back = rng.tint(hue, [0.15, 0.65], [0.42, 0.72]);
        let wing = back * rng.range(0.45, 0.8);
        let hue = rng.range(0.4, 4.4);
        let belly = rng.tint(hue, [0.05, 0.5], [0.5, 0.85]);
        let cap = match cap {
            Cap::Red => rng.tint(5.95, [0.85, 0.98], [0.75, 0.95]),
            Cap::White => rng.tint(0.7, [0.0, 0.08], [0.93, 1.0]),
            Cap::Black => rng.tint(4.0, [0.0, 0.3], [0.06, 0.16]),
        };
        let horn = rng.pick(&[vec3(0.75, 0.35, 0.03), vec3(0.08, 0.07, 0.06), vec3(0.5, 0.4, 0.2)]);
        Plumage {
            back: matt(rng, back),
            belly: matt(rng, belly),
            wing: matt(rng, wing),
            cap: matt(rng, cap),
            horn: matt(rng, horn),
            pale: matt(rng, vec3(0.9, 0.9, 0.84)),
            dark: matt(rng, Vec3::splat(0.01)),
        }
    }
}

fn matt(rng: &mut Stream, colour: Vec3) -> Material {
    Material { gloss: 0.0, grain: 0.2, ..Material::plain(rng, colour) }
}

/// A bird on a branch or on the ground, seen more or less from the side.
pub(super) fn subject(rng: &mut Stream, class: &Class, variety: f32) -> Subject {
    let plumage = Plumage::draw(rng, class.cap);
    let mut figure = part();
    let leg = if class.long_legs { rng.range(0.36, 0.46) } else { rng.range(0.1, 0.15) };
    let rise = 0.4 + variety * rng.range(-0.3, 0.35);
    trunk(rng, &mut figure, class, &plumage, leg + 0.18, rise);
    legs(rng, &mut figure, leg, plumage.horn);
    let perched = rng.chance(0.5 * variety);
    let side = rng.pick(&[-1.0, 1.0]);
    Subject {
        figure,
        support: if perched { branch(rng) } else { part() },
        lift: if perched { rng.range(0.5, 1.5) } else { 0.0 },
        heading: side * (std::f32::consts::FRAC_PI_2 + variety * rng.range(-0.5, 0.8)),
        lean: Basis::WORLD,
        pitch: -0.15 + variety * rng.range(-0.2, 0.17),
        crowded: true,
    }
}

/// A frame pitched up by `angle`: its z axis is the bird's back.
fn tilt(angle: f32) -> Basis {
    let (s, c) = libm::sincosf(angle);
    Basis { x: Vec3::X, y: vec3(0.0, c, -s), z: vec3(0.0, s, c) }
}

/// Everything above the legs, around `height`, with the back raised by `rise` radians.
fn trunk(
    rng: &mut Stream,
    figure: &mut Thing,
    class: &Class,
    plumage: &Plumage,
    height: f32,
    rise: f32,
) {
    let (basis, stout) = (tilt(rise), rng.range(0.9, 1.12));
    let at = |x: f32, y: f32, z: f32| vec3(0.0, height, 0.0) + basis.to_outer(vec3(x, y, z));
    let body = Shape::Ellipsoid(vec3(0.19 * stout, 0.2 * stout, 0.36));
    figure.turned(body, at(0.0, 0.0, 0.0), basis, plumage.back);
    let belly = Shape::Ellipsoid(vec3(0.17 * stout, 0.17 * stout, 0.31));
    figure.turned(belly, at(0.0, -0.05, 0.03), basis, plumage.belly);
    for side in [-1.0, 1.0] {
        wing(figure, class, plumage, at(side * 0.17 * stout, 0.04, -0.05), basis);
    }
    tail(rng, figure, class.long_tail, plumage.wing, at(0.0, 0.02, -0.28), rise);
    let nod = tilt(rng.range(-0.2, 0.2)).compose(Basis::yaw(rng.range(-0.4, 0.4)));
    head(rng, figure, class, plumage, at(0.0, 0.16, 0.3), nod);
}

fn wing(figure: &mut Thing, class: &Class, plumage: &Plumage, at: Vec3, basis: Basis) {
    let feathers = Shape::Ellipsoid(vec3(0.05, 0.13, 0.3));
    figure.turned(feathers, at, basis, plumage.wing);
    if class.wing_bars {
        for z in [-0.09, 0.07] {
            let bar = Shape::Ellipsoid(vec3(0.06, 0.125, 0.032));
            figure.turned(bar, at + basis.to_outer(vec3(0.0, 0.0, z)), basis, plumage.pale);
        }
    }
}

/// Feathers from the rump at `root` backwards.
fn tail(
    rng: &mut Stream,
    figure: &mut Thing,
    long: bool,
    material: Material,
    root: Vec3,
    rise: f32,
) {
    let length = if long { rng.range(0.6, 0.75) } else { rng.range(0.2, 0.26) };
    let basis = tilt(rise * rng.range(0.2, 0.9) + rng.range(-0.15, 0.1));
    let feathers = Shape::Block(vec3(0.085, 0.025, 0.5 * length));
    figure.turned(feathers, root - basis.z * (0.5 * length), basis, material);
}

/// Head, cap, eyes and bill; the bill points along z of `nod`.
fn head(
    rng: &mut Stream,
    figure: &mut Thing,
    class: &Class,
    plumage: &Plumage,
    centre: Vec3,
    nod: Basis,
) {
    let at = |x: f32, y: f32, z: f32| centre + nod.to_outer(vec3(x, y, z));
    figure.turned(Shape::Ellipsoid(vec3(0.15, 0.15, 0.165)), centre, nod, plumage.back);
    let cap = Shape::Ellipsoid(vec3(0.142, 0.105, 0.155));
    figure.turned(cap, at(0.0, 0.072, -0.01), nod, plumage.cap);
    for side in [-1.0, 1.0] {
        let eye = Shape::Ellipsoid(Vec3::splat(0.035));
        figure.turned(eye, at(side * 0.125, 0.01, 0.07), nod, plumage.dark);
    }
    let long = if class.long_bill { rng.range(0.38, 0.46) } else { rng.range(0.12, 0.16) };
    let bill = Shape::Frustum { half: 0.5 * long, low: 0.05, high: 0.012 };
    figure.turned(bill, at(0.0, -0.03, 0.14 + 0.5 * long), Basis::along(nod.z), plumage.horn);
}

fn legs(rng: &mut Stream, figure: &mut Thing, length: f32, material: Material) {
    for side in [-1.0, 1.0] {
        let (x, z) = (side * 0.07, rng.range(-0.05, 0.05));
        let shank = Shape::Capsule { half: 0.5 * length + 0.04, radius: 0.022 };
        figure.add(shank, vec3(x, 0.5 * length + 0.04, z), material);
        figure.block(vec3(0.09, 0.03, 0.14), x, 0.0, z + 0.04, material);
    }
}

/// A branch under the feet, across the bird or nearly along it.
fn branch(rng: &mut Stream) -> Thing {
    let mut support = part();
    let (radius, wood) = (rng.range(0.04, 0.08), Material::wood(rng, 0.4));
    let yaw = Basis::yaw(rng.turn());
    let limb = Shape::Capsule { half: rng.range(1.0, 2.5), radius };
    support.turned(limb, vec3(0.0, -radius, 0.0), Basis::along(yaw.x), wood);
    if rng.chance(0.5) {
        let hue = rng.range(1.3, 2.3);
        let green = rng.tint(hue, [0.4, 0.8], [0.3, 0.6]);
        let leaf = Material::plain(rng, green);
        for _ in 0..2 + rng.below(4) {
            let along = yaw.x * rng.range(-1.2, 1.2);
            let blade = Shape::Ellipsoid(vec3(0.05, 0.02, 0.12));
            let lean = Basis::yaw(rng.turn()).compose(tilt(rng.range(-0.8, 0.8)));
            support.turned(blade, along - Vec3::Y * (1.5 * radius), lean, leaf);
        }
    }
    support
}
