//! Rooms: papered walls, a bulb, furniture.

use std::f32::consts::FRAC_PI_2;

use super::{
    camera::Camera,
    classes::{self, CEILING, GROUND, WALL},
    layout::{Floor, furnish},
    light::{Air, Light, white},
    math::{Basis, Vec3, vec3},
    object::Setting,
    rng::Stream,
    shape::Shape,
    solid::Solid,
    texture::{Material, Pattern},
    thing::Thing,
    world::World,
};

const CHOICES: [u8; 14] = [
    classes::PERSON,
    classes::PERSON,
    classes::BOX,
    classes::BALL,
    classes::COLUMN,
    classes::CONE,
    classes::TABLE,
    classes::TABLE,
    classes::CHAIR,
    classes::CHAIR,
    classes::LAMP,
    classes::LAMP,
    classes::TREE,
    classes::VASE,
];

/// A furnished room, seen from near one of its walls.
pub(crate) fn room(rng: &mut Stream) -> World {
    let half = vec3(rng.range(2.2, 4.2), rng.range(1.2, 1.7), rng.range(2.8, 5.0));
    let eye = vec3(rng.range(-0.5, 0.5) * half.x, rng.range(1.1, 2.0), 0.3 - half.z);
    let (yaw, pitch) = (rng.range(-0.35, 0.35), rng.range(-0.4, -0.08));
    let camera = Camera::aimed(rng, eye, yaw, pitch);
    let bulb =
        vec3(rng.range(-0.7, 0.7) * half.x, 2.0 * half.y - 0.3, rng.range(-0.7, 0.7) * half.z);
    // Bright enough for the far corners.
    let strength = 1.0 + 0.25 * half.length();
    let colour = white(rng, [strength, 1.4 * strength]);
    let light = Light::Bulb { position: bulb, colour };
    let air = dim_air(rng);
    let mut world = World::new(camera, light, air);
    shell(rng, &mut world, half);
    hang_pictures(rng, &mut world, half);
    let mut floor = Floor::new(Some((half.x - 0.05, half.z - 0.05)));
    furnish(rng, &mut world, &mut floor, Setting::Room, &CHOICES, |_| [1.3, 2.0 * half.z - 1.0]);
    world
}

fn dim_air(rng: &mut Stream) -> Air {
    let above = white(rng, [0.15, 0.5]);
    let haze = white(rng, [0.3, 0.9]);
    Air {
        above,
        below: above * rng.range(0.4, 0.8),
        zenith: haze,
        cloud: haze,
        haze,
        density: if rng.chance(0.4) { rng.range(0.01, 0.09) } else { 0.0 },
        cover: 0.0,
        seed: rng.bits(),
    }
}

/// Walls that share their paper, a floor slab and a ceiling slab.
fn shell(rng: &mut Stream, world: &mut World, half: Vec3) {
    let paper = wall_paper(rng);
    let boards = floor_boards(rng);
    let white = rng.colour([0.0, 0.25], [0.7, 0.98]);
    let plaster = Material::plain(rng, white);
    let solid = |shape, height, material| {
        let centre = vec3(0.0, height, 0.0);
        Solid { shape, centre, basis: Basis::WORLD, material, instance: 0, part: 0 }
    };
    // Taller than the room, so that the slabs and not its own floor and ceiling are seen.
    let walls = Shape::Interior(half + Vec3::Y);
    let slab = Shape::Block(vec3(half.x + 0.1, 0.05, half.z + 0.1));
    world.surface(solid(walls, half.y, paper), &[WALL; 6]);
    world.surface(solid(slab, -0.05, boards), &[GROUND]);
    world.surface(solid(slab, 2.0 * half.y + 0.05, plaster), &[CEILING]);
}

fn wall_paper(rng: &mut Stream) -> Material {
    let first = rng.colour([0.0, 0.5], [0.5, 0.95]);
    let second = first.mix(rng.colour([0.0, 0.6], [0.3, 0.95]), rng.range(0.2, 0.9));
    let patterns = [
        Pattern::Plain,
        Pattern::Stripes,
        Pattern::Bricks,
        Pattern::Speckle,
        Pattern::Dots,
        Pattern::Checker,
    ];
    let pattern = rng.pick(&patterns);
    let mut paper = Material::of(rng, first, second, pattern, 1.6);
    paper.gloss = 0.0;
    paper
}

fn floor_boards(rng: &mut Stream) -> Material {
    let mut boards = match rng.below(3) {
        0 => Material::wood(rng, 1.5),
        1 => Material::any(rng, 2.5),
        _ => {
            let first = rng.colour([0.0, 0.5], [0.3, 0.9]);
            let second = first * rng.range(0.3, 0.8);
            let pattern = rng.pick(&[Pattern::Checker, Pattern::Speckle, Pattern::Marble]);
            Material::of(rng, first, second, pattern, 2.0)
        }
    };
    boards.gloss *= 0.5;
    boards
}

/// Up to four pictures, doors or panels on the walls: flat clutter of the class wall.
fn hang_pictures(rng: &mut Stream, world: &mut World, half: Vec3) {
    for _ in 0..rng.below(5) {
        let mut panel = Thing::new(WALL);
        let (wide, tall) = (rng.range(0.5, 1.5), rng.range(0.5, 1.2));
        let canvas = Material::any(rng, wide);
        panel.block(vec3(wide, tall, 0.05), 0.0, 0.0, 0.0, canvas);
        if rng.chance(0.5) {
            let frame = Material::any(rng, 0.5);
            panel.block(vec3(wide + 0.12, tall + 0.12, 0.03), 0.0, -0.06, 0.0, frame);
        }
        let door = rng.chance(0.25);
        let foot = if door { 0.06 } else { rng.range(0.8, 2.0 * half.y - tall - 0.1) };
        let (origin, yaw) = match rng.below(4) {
            0 => (vec3(-half.x, foot, rng.range(-0.7, 0.8) * half.z), FRAC_PI_2),
            1 => (vec3(half.x, foot, rng.range(-0.7, 0.8) * half.z), FRAC_PI_2),
            _ => (vec3(rng.range(-0.7, 0.7) * half.x, foot, half.z), 0.0),
        };
        world.place(&panel, origin, Basis::yaw(yaw));
    }
}
