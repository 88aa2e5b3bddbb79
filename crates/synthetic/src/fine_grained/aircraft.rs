//! Aircraft that differ by engines, wing, tail and airline.

use super::stage::{Subject, part};
use crate::scenes::{
    math::{Basis, Vec3, vec3},
    rng::Stream,
    shape::Shape,
    texture::{Material, Pattern},
    thing::Thing,
};

/// Number, kind and place of the engines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Engines {
    NosePropeller,
    TwoPropellers,
    FourJets,
    RearJets,
    TwoJets,
}

/// One type of aircraft of one airline.
pub(super) struct Class {
    pub(super) name: &'static str,
    engines: Engines,
    high_wing: bool,
    t_tail: bool,
    /// Sweep of the wing in radians.
    sweep: f32,
    /// Whether fin and band are red instead of blue.
    red: bool,
}

const fn class(name: &'static str, engines: Engines, red: bool) -> Class {
    let (high_wing, t_tail, sweep) = match engines {
        Engines::NosePropeller => (true, false, 0.0),
        Engines::TwoPropellers => (false, false, 0.0),
        Engines::FourJets => (false, false, 0.5),
        Engines::RearJets => (false, true, 0.4),
        Engines::TwoJets => (true, true, 0.3),
    };
    Class { name, engines, high_wing, t_tail, sweep, red }
}

/// Five types, each with a red and with a blue fin.
pub(super) const CLASSES: [Class; 10] = [
    class("nose-propeller-red", Engines::NosePropeller, true),
    class("nose-propeller-blue", Engines::NosePropeller, false),
    class("two-propellers-red", Engines::TwoPropellers, true),
    class("two-propellers-blue", Engines::TwoPropellers, false),
    class("four-jets-red", Engines::FourJets, true),
    class("four-jets-blue", Engines::FourJets, false),
    class("rear-jets-red", Engines::RearJets, true),
    class("rear-jets-blue", Engines::RearJets, false),
    class("two-jets-t-tail-red", Engines::TwoJets, true),
    class("two-jets-t-tail-blue", Engines::TwoJets, false),
];

/// Half length of the fuselage's cylinder, and its radius.
const HALF: f32 = 3.4;
const RADIUS: f32 = 0.6;

/// Colours of an airline; those of fin, band and engines are fixed by the class.
struct Livery {
    hull: Material,
    fin: Material,
    wing: Material,
    glass: Material,
    blades: Material,
}

impl Livery {
    fn draw(rng: &mut Stream, red: bool) -> Livery {
        let hull = rng.colour([0.0, 0.12], [0.7, 1.0]);
        let grey = rng.colour([0.0, 0.1], [0.45, 0.85]);
        let hue = if red { 6.0 } else { 3.9 } + rng.range(-0.15, 0.15);
        let fin = rng.tint(hue, [0.8, 0.98], [0.6, 0.95]);
        Livery {
            hull: metal(rng, hull),
            fin: metal(rng, fin),
            wing: metal(rng, grey),
            glass: metal(rng, Vec3::splat(0.03)),
            blades: metal(rng, Vec3::splat(0.05)),
        }
    }
}

fn metal(rng: &mut Stream, colour: Vec3) -> Material {
    let mut metal = Material::of(rng, colour, colour * 0.7, Pattern::Plain, 2.0);
    metal.grain = 0.1;
    metal
}

/// An aircraft in the air, banked and seen from any height, or on the ground.
pub(super) fn subject(rng: &mut Stream, class: &Class, variety: f32) -> Subject {
    let livery = Livery::draw(rng, class.red);
    let mut figure = part();
    hull(&mut figure, &livery);
    let root = if class.high_wing { 0.85 * RADIUS } else { -0.7 * RADIUS };
    wings(rng, &mut figure, class, root, &livery);
    tail(&mut figure, class, &livery);
    engines(&mut figure, class, root, &livery);
    let flying = rng.chance(1.0 - 0.35 * variety);
    let mut support = part();
    if !flying {
        gear(&mut support, livery.blades);
    }
    let pitch = match flying {
        true => -0.4 + variety * rng.range(-0.3, 0.95),
        false => rng.range(-0.6, -0.15),
    };
    Subject {
        figure,
        support,
        lift: if flying { 30.0 } else { 1.7 },
        // From the front and the side, where engines, wings and tail are all seen.
        heading: 2.2 + variety * rng.turn(),
        lean: if flying { attitude(rng, variety) } else { Basis::WORLD },
        pitch,
        crowded: !flying,
    }
}

/// A bank of up to 26 and a climb of up to 14 degrees.
fn attitude(rng: &mut Stream, variety: f32) -> Basis {
    let (s, c) = libm::sincosf(variety * rng.range(-0.45, 0.45));
    let bank = Basis { x: vec3(c, s, 0.0), y: vec3(-s, c, 0.0), z: Vec3::Z };
    let (s, c) = libm::sincosf(variety * rng.range(-0.25, 0.25));
    let climb = Basis { x: Vec3::X, y: vec3(0.0, c, -s), z: vec3(0.0, s, c) };
    climb.compose(bank)
}

/// Fuselage with nose, tail cone, cockpit and a band of windows; front along z.
fn hull(figure: &mut Thing, livery: &Livery) {
    let along = Basis::along(Vec3::Z);
    let tube = Shape::Capsule { half: HALF, radius: RADIUS };
    figure.turned(tube, Vec3::ZERO, along, livery.hull);
    let cone = Shape::Frustum { half: 0.8, low: 0.12, high: 0.97 * RADIUS };
    figure.turned(cone, vec3(0.0, 0.05, -HALF - 0.75), along, livery.hull);
    let cockpit = Shape::Ellipsoid(vec3(0.42, 0.24, 0.4));
    figure.turned(cockpit, vec3(0.0, 0.33, HALF + 0.15), Basis::WORLD, livery.glass);
    figure.block(vec3(2.03 * RADIUS, 0.12, 1.6 * HALF), 0.0, 0.06, 0.1, livery.fin);
}

/// A flat panel from `root` outwards along `direction`: chord at the root, length, taper, thickness.
fn panel(
    figure: &mut Thing,
    root: Vec3,
    direction: Vec3,
    [chord, length, taper, thick]: [f32; 4],
    material: Material,
) {
    let y = direction.unit();
    // The chord lies along the fuselage, as far as the sweep lets it.
    let x = (Vec3::Z - y * y.z).unit();
    let basis = Basis { x, y, z: x.cross(y) };
    let half = vec3(0.5 * chord, 0.5 * length, 0.5 * thick);
    let centre = root + y * (0.5 * length);
    figure.turned(Shape::Gable { half, top: taper }, centre, basis, material);
}

/// Direction of the right (`side` 1) or left (-1) wing with a sweep, tips a little raised.
fn outwards(side: f32, sweep: f32) -> Vec3 {
    let (s, c) = libm::sincosf(sweep);
    vec3(side * c, 0.07, -s)
}

fn wings(rng: &mut Stream, figure: &mut Thing, class: &Class, root: f32, livery: &Livery) {
    let span = rng.range(3.9, 4.4) / (1.0 - 0.25 * class.sweep);
    let chord = 1.5 + 0.9 * class.sweep;
    let taper = 0.7 - 0.75 * class.sweep;
    for side in [-1.0, 1.0] {
        let at = vec3(0.0, root, 0.3 + 0.5 * class.sweep);
        let size = [chord, span, taper, 0.14];
        panel(figure, at, outwards(side, class.sweep), size, livery.wing);
    }
}

fn tail(figure: &mut Thing, class: &Class, livery: &Livery) {
    let rear = -HALF - 0.55;
    let lean = vec3(0.0, 1.0, -0.2 - 0.9 * class.sweep);
    let tall = 1.75;
    panel(figure, vec3(0.0, 0.2, rear), lean, [1.5, tall, 0.6, 0.16], livery.fin);
    let tip = vec3(0.0, 0.2, rear) + lean.unit() * (tall - 0.08);
    let root = if class.t_tail { tip } else { vec3(0.0, 0.15, rear - 0.1) };
    for side in [-1.0, 1.0] {
        let size = [0.95, 1.6, 0.6, 0.12];
        panel(figure, root, outwards(side, class.sweep), size, livery.wing);
    }
}

fn engines(figure: &mut Thing, class: &Class, root: f32, livery: &Livery) {
    match class.engines {
        Engines::NosePropeller => propeller(figure, vec3(0.0, 0.0, HALF + 0.55), livery),
        Engines::TwoPropellers => on_wing(figure, class, root, &[1.5], livery, true),
        Engines::TwoJets => on_wing(figure, class, root, &[1.5], livery, false),
        Engines::FourJets => on_wing(figure, class, root, &[1.3, 2.7], livery, false),
        Engines::RearJets => {
            for side in [-1.0, 1.0] {
                nacelle(figure, vec3(side * (RADIUS + 0.38), 0.3, 0.6 - HALF), livery);
            }
        }
    }
}

/// Engines on both wings, `places` metres out.
fn on_wing(
    figure: &mut Thing,
    class: &Class,
    root: f32,
    places: &[f32],
    livery: &Livery,
    propellers: bool,
) {
    for side in [-1.0, 1.0] {
        for out in places {
            let wing = vec3(0.0, root, 0.3 + 0.5 * class.sweep);
            let at = wing + outwards(side, class.sweep) * *out;
            let drop = if propellers { 0.0 } else { -0.42 };
            let forward = if propellers { 0.5 } else { 0.75 };
            let at = at + vec3(0.0, drop, forward);
            nacelle(figure, at, livery);
            if propellers {
                propeller(figure, at + Vec3::Z * 0.75, livery);
            }
        }
    }
}

/// A jet engine or the housing of a propeller's engine, with a dark mouth.
fn nacelle(figure: &mut Thing, centre: Vec3, livery: &Livery) {
    let along = Basis::along(Vec3::Z);
    let tube = Shape::Frustum { half: 0.7, low: 0.24, high: 0.36 };
    figure.turned(tube, centre, along, livery.fin);
    let mouth = Shape::Frustum { half: 0.03, low: 0.3, high: 0.3 };
    figure.turned(mouth, centre + Vec3::Z * 0.71, along, livery.glass);
}

/// A spinner with two crossed pairs of blades.
fn propeller(figure: &mut Thing, centre: Vec3, livery: &Livery) {
    figure.add(Shape::Ellipsoid(vec3(0.2, 0.2, 0.35)), centre, livery.fin);
    for (x, y) in [(1.0, 0.35), (-0.35, 1.0)] {
        let blade = Shape::Block(vec3(0.09, 1.05, 0.05));
        figure.turned(blade, centre, Basis::along(vec3(x, y, 0.0)), livery.blades);
    }
}

/// Three legs down to the ground.
fn gear(support: &mut Thing, dark: Material) {
    for (x, z) in [(0.0, 0.75 * HALF), (-0.75, -0.4), (0.75, -0.4)] {
        let strut = Shape::Capsule { half: 0.7, radius: 0.08 };
        support.add(strut, vec3(x, -0.9, z), dark);
        let wheel = Shape::Frustum { half: 0.14, low: 0.3, high: 0.3 };
        support.turned(wheel, vec3(x, -1.4, z), Basis::along(Vec3::X), dark);
    }
}
