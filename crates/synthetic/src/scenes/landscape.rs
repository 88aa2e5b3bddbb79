//! Landscapes: ground, hills, sun and sky.

use super::{
    camera::Camera,
    classes::{self, GROUND},
    layout::{Floor, furnish},
    light::{Air, Light, white},
    math::{Basis, Vec3, vec3},
    object::Setting,
    rng::Stream,
    shape::Shape,
    solid::Solid,
    texture::{Material, Pattern},
    world::World,
};

/// The ground ends, and the sky begins, this many metres from the camera.
const HORIZON: f32 = 70.0;

const CHOICES: [u8; 18] = [
    classes::PERSON,
    classes::PERSON,
    classes::PERSON,
    classes::BOX,
    classes::BALL,
    classes::COLUMN,
    classes::CONE,
    classes::TABLE,
    classes::CHAIR,
    classes::LAMP,
    classes::TREE,
    classes::TREE,
    classes::TREE,
    classes::HOUSE,
    classes::HOUSE,
    classes::CAR,
    classes::CAR,
    classes::VASE,
];

/// An open landscape with things near and far.
pub(crate) fn landscape(rng: &mut Stream) -> World {
    let eye = vec3(0.0, rng.range(1.1, 3.2), 0.0);
    let (yaw, pitch) = (rng.range(-3.1, 3.1), rng.range(-0.28, 0.04));
    let camera = Camera::aimed(rng, eye, yaw, pitch);
    let (light, air) = daylight(rng, yaw);
    let mut world = World::new(camera, light, air);
    let soil = soil(rng);
    world.surface(surface(Shape::Ground(HORIZON), Vec3::ZERO, soil), &[GROUND]);
    hills(rng, &mut world);
    let mut floor = Floor::new(None);
    furnish(rng, &mut world, &mut floor, Setting::Landscape, &CHOICES, distances);
    world
}

/// Big things stand far off, small ones near.
fn distances(class: u8) -> [f32; 2] {
    match class {
        classes::HOUSE => [6.0, 32.0],
        classes::CAR => [4.0, 22.0],
        classes::TREE => [4.0, 28.0],
        classes::LAMP => [4.0, 14.0],
        classes::PERSON => [2.2, 12.0],
        _ => [1.8, 8.0],
    }
}

/// A sun 15 to 65 degrees high, on any side, with a clear to overcast sky.
pub(crate) fn daylight(rng: &mut Stream, yaw: f32) -> (Light, Air) {
    let (s, c) = libm::sincosf(yaw + rng.range(-2.4, 2.4));
    let (up, flat) = libm::sincosf(rng.range(0.26, 1.15));
    let cover = rng.range(0.0, 1.0);
    let colour = white(rng, [1.3, 2.4]) * (1.1 - 0.6 * cover);
    let evening = rng.chance(0.2);
    let hue = if evening { rng.range(0.0, 1.0) } else { rng.range(3.2, 3.9) };
    let zenith = rng.tint(hue, [0.3, 0.7], [0.6, 0.95]);
    let cloud = white(rng, [0.55, 1.0]);
    let haze = zenith.mix(cloud, rng.range(0.5, 0.9));
    let above = zenith.mix(cloud, 0.3 + 0.7 * cover) * rng.range(0.35, 0.8);
    let density = if rng.chance(0.7) { rng.range(0.001, 0.012) } else { rng.range(0.012, 0.045) };
    let below = above * rng.range(0.25, 0.6);
    let air = Air { above, below, zenith, cloud, haze, density, cover, seed: rng.bits() };
    (Light::Sun { towards: vec3(s * flat, up, c * flat), colour }, air)
}

pub(crate) fn surface(shape: Shape, centre: Vec3, material: Material) -> Solid {
    Solid { shape, centre, basis: Basis::WORLD, material, instance: 0, part: 0 }
}

/// Grass, earth, sand or paving.
pub(crate) fn soil(rng: &mut Stream) -> Material {
    let hue = rng.pick(&[0.5, 0.8, 1.2, 1.7, 2.0, 2.2]) + rng.range(-0.2, 0.2);
    let first = rng.tint(hue, [0.15, 0.75], [0.3, 0.85]);
    let second = first.mix(rng.tint(hue, [0.1, 0.7], [0.2, 0.9]), 0.9);
    let patterns = [
        Pattern::Speckle,
        Pattern::Speckle,
        Pattern::Marble,
        Pattern::Plain,
        Pattern::Bricks,
        Pattern::Checker,
    ];
    let pattern = rng.pick(&patterns);
    let mut soil = Material::of(rng, first, second, pattern, 3.0);
    soil.grain = rng.range(0.4, 0.9);
    soil.gloss = 0.0;
    soil
}

/// Up to five rounded hills between the things and the horizon; they are ground.
pub(crate) fn hills(rng: &mut Stream, world: &mut World) {
    let forward = world.camera.basis.z;
    let right = vec3(forward.z, 0.0, -forward.x);
    for _ in 0..rng.below(6) {
        let distance = rng.range(48.0, 62.0);
        let place = forward * distance + right * (rng.range(-0.9, 0.9) * distance);
        let wide = rng.range(12.0, 28.0);
        let size = vec3(wide, wide * rng.range(0.15, 0.45), rng.range(7.0, 12.0));
        let slope = soil(rng);
        let hill = surface(Shape::Ellipsoid(size), vec3(place.x, 0.0, place.z), slope);
        let towards = Basis::yaw(rng.range(-0.5, 0.5));
        world.surface(Solid { basis: towards, ..hill }, &[GROUND]);
    }
}
