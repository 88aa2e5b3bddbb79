//! Where things stand: in view, on the ground, and not inside each other.

use super::{
    classes,
    math::{Basis, Vec3, vec3},
    object::{Setting, build, trinket},
    rng::Stream,
    thing::Thing,
    world::World,
};

/// Circles on the ground that are taken.
pub(crate) struct Floor {
    taken: Vec<(f32, f32, f32)>,
    /// Half width and half depth of the space, if it has walls.
    walls: Option<(f32, f32)>,
}

impl Floor {
    pub(crate) fn new(walls: Option<(f32, f32)>) -> Floor {
        Floor { taken: Vec::with_capacity(16), walls }
    }

    fn fits(&self, x: f32, z: f32, radius: f32) -> bool {
        let inside = self
            .walls
            .is_none_or(|(wide, deep)| x.abs() + radius < wide && z.abs() + radius < deep);
        inside
            && self.taken.iter().all(|&(ox, oz, other)| {
                let (dx, dz, gap) = (x - ox, z - oz, 0.85 * (radius + other));
                dx * dx + dz * dz > gap * gap
            })
    }

    /// A free place for a circle in view, between `near` and `far` metres in front of the camera.
    fn spot(&self, rng: &mut Stream, world: &World, radius: f32, range: [f32; 2]) -> Option<Vec3> {
        let camera = world.camera;
        let forward = vec3(camera.basis.z.x, 0.0, camera.basis.z.z).unit();
        let right = vec3(forward.z, 0.0, -forward.x);
        (0..12).find_map(|_| {
            let share = rng.unit();
            let z = range[0] + radius + (range[1] - range[0]) * (0.4 * share + 0.6 * share * share);
            let x = rng.range(-1.0, 1.0) * (z * camera.tangent + 0.3 * radius);
            let place = camera.eye + forward * z + right * x;
            self.fits(place.x, place.z, radius).then_some(vec3(place.x, 0.0, place.z))
        })
    }

    /// Puts a thing where there is room, with something small on it if it carries things.
    fn put(&mut self, rng: &mut Stream, world: &mut World, thing: &Thing, range: [f32; 2]) -> bool {
        let radius = thing.radius();
        let Some(place) = self.spot(rng, world, radius, range) else { return false };
        self.taken.push((place.x, place.z, radius));
        world.place(thing, place, Basis::yaw(rng.turn()));
        if let Some((height, radius)) = thing.top {
            for side in [-0.5, 0.5] {
                if rng.chance(0.4) {
                    let top = vec3(
                        place.x + side * radius,
                        height,
                        place.z + rng.range(-0.5, 0.5) * radius,
                    );
                    let small = trinket(rng);
                    world.place(&small, top, Basis::yaw(rng.turn()));
                }
            }
        }
        true
    }
}

/// Share of the scenes that have a person in their foreground.
const PORTRAITS: f32 = 0.6;

/// Fills a scene with 6 to 14 things, the first of them near.
///
/// People in the foreground are large enough for their limbs to be seen at 96 pixels.
///
/// `choices` lists the classes to draw from; `range` maps a class to its nearest and farthest distance.
pub(crate) fn furnish(
    rng: &mut Stream,
    world: &mut World,
    floor: &mut Floor,
    setting: Setting,
    choices: &[u8],
    range: impl Fn(u8) -> [f32; 2],
) {
    let wanted = 6 + rng.below(9);
    let mut placed = 0;
    for attempt in 0..3 * wanted {
        let class =
            if attempt == 0 && rng.chance(PORTRAITS) { classes::PERSON } else { rng.pick(choices) };
        let thing = build(rng, class, setting);
        let [near, far] = range(class);
        let share = if class == classes::PERSON { 0.15 } else { 0.35 };
        let far = if attempt == 0 { near + share * (far - near) } else { far };
        placed += usize::from(floor.put(rng, world, &thing, [near, far]));
        if placed == wanted {
            return;
        }
    }
}
