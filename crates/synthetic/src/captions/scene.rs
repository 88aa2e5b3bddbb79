//! What stands where, and the world that shows it.

use super::placed::Placed;
use super::words::{COLOURS, GROUNDS, KINDS, PLACES};
use crate::scenes::classes::GROUND;
use crate::scenes::math::{Basis, Vec3, vec3};
use crate::scenes::object::{self, Setting};
use crate::scenes::shape::Shape;
use crate::scenes::texture::{Material, Pattern};
use crate::scenes::{camera::Camera, landscape, rng::Stream, world::World};

/// Things of one image, at most.
const MOST: usize = 3;
/// The ground ends this many metres from the camera.
const HORIZON: f32 = 60.0;
/// Metres from the camera of the first thing and of the others.
const DISTANCE: [f32; 2] = [3.0, 4.2];
/// Half the height of the picture, in parts of the distance.
const TANGENT: f32 = 0.5;
/// Between places, in parts of half the picture's width: each place has a third of any picture.
const STRIDE: f32 = 0.6;
/// Radius on the ground that things are brought to, in the order of [`KINDS`].
const RADII: [f32; KINDS.len()] = [0.5, 0.45, 0.45, 0.26, 0.36, 0.55, 0.42, 0.75];

/// What an image shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) things: Vec<Placed>,
    /// Place in the table of grounds.
    pub(super) ground: usize,
}

impl Shown {
    pub(super) fn draw(rng: &mut Stream) -> Self {
        let things = placed(rng);
        Self { things, ground: rng.below(GROUNDS.len()) }
    }
}

/// One to three things of different kinds at different places; the first stands nearest.
fn placed(rng: &mut Stream) -> Vec<Placed> {
    let mut places: Vec<usize> = (0..PLACES.len()).collect();
    let mut kinds: Vec<usize> = (0..KINDS.len()).collect();
    let count = 1 + rng.below(MOST);
    let take = |rng: &mut Stream, from: &mut Vec<usize>| from.remove(rng.below(from.len()));
    let mut thing = |index: usize| Placed {
        kind: take(rng, &mut kinds),
        colour: rng.below(COLOURS.len()),
        place: take(rng, &mut places),
        near: index == 0,
        seed: rng.bits(),
    };
    (0..count).map(&mut thing).collect()
}

/// The world that shows `things` on `ground` in a picture whose width is `aspect` times its height.
pub(super) fn world(rng: &mut Stream, things: &[Placed], ground: usize, aspect: f32) -> World {
    let camera = Camera::aimed(rng, vec3(0.0, 1.5, 0.0), 0.0, -0.2);
    let (light, air) = landscape::daylight(rng, 0.0);
    let mut world = World::new(Camera { tangent: TANGENT, ..camera }, light, air);
    let soil = speckled(rng, GROUNDS[ground].1);
    world.surface(landscape::surface(Shape::Ground(HORIZON), Vec3::ZERO, soil), &[GROUND]);
    things.iter().for_each(|placed| put(&mut world, *placed, aspect));
    world
}

fn put(world: &mut World, placed: Placed, aspect: f32) {
    let rng = &mut Stream::new(u64::from(placed.seed), 0, 0);
    let distance = if placed.near { DISTANCE[0] } else { DISTANCE[1] };
    let mut thing = object::build(rng, KINDS[placed.kind].1, Setting::Room);
    let paint = Material::plain(rng, COLOURS[placed.colour].1);
    thing.solids.iter_mut().for_each(|solid| solid.material = paint);
    let thing_radius = thing.radius();
    let thing = thing.scaled(RADII[placed.kind] / thing_radius * rng.range(0.85, 1.15));
    let side = (placed.place as f32 - 1.0) * STRIDE * TANGENT * aspect * distance;
    let (x, z) = (side + rng.range(-0.1, 0.1), distance + rng.range(-0.2, 0.2));
    let turn = Basis::yaw(rng.turn());
    world.place(&thing, vec3(x, 0.0, z), turn);
}

fn speckled(rng: &mut Stream, colour: Vec3) -> Material {
    let mut soil = Material::of(rng, colour, colour * 0.8, Pattern::Speckle, 3.0);
    soil.gloss = 0.0;
    soil
}
