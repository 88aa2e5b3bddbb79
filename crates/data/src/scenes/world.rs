//! Everything in front of the camera: solids, the instances they form, light and air.

use super::{
    camera::Camera,
    math::{Basis, Vec3, least, most, saturate, vec3},
    object::Thing,
    rng::Stream,
    shape::{Contact, Shape},
    texture::{Material, noise},
};

/// A shape at its place, with its surface.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Solid {
    pub(crate) shape: Shape,
    pub(crate) centre: Vec3,
    pub(crate) basis: Basis,
    pub(crate) material: Material,
    /// Index of its instance; the faces of a room are the instances from here on.
    pub(crate) instance: u16,
    /// Human part, 0 for everything that is no person.
    pub(crate) part: u8,
}

impl Solid {
    /// The first contact of a ray in world coordinates.
    pub(crate) fn contact(&self, origin: Vec3, direction: Vec3, far: f32) -> Option<Contact> {
        let origin = self.basis.to_local(origin - self.centre);
        self.shape.contact(origin, self.basis.to_local(direction), 0.0, far)
    }

    /// Whether the line from `origin` along the unit vector `towards` crosses the ball around the solid.
    fn is_near(&self, origin: Vec3, towards: Vec3) -> bool {
        let (path, half) = (self.centre - origin, self.shape.extent());
        let along = path.dot(towards);
        path.dot(path) - along * along < half.dot(half)
    }

    /// The lowest height that the solid reaches.
    pub(crate) fn bottom(&self) -> f32 {
        self.centre.y - self.shape.reach(self.basis.to_local(vec3(0.0, -1.0, 0.0)))
    }
}

/// One thing that an edge surrounds: an object, or one surface of the background.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instance {
    pub(crate) class: u8,
    /// Solids that cast its shadow: `first..last`.
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// A ball around them.
    pub(crate) centre: Vec3,
    pub(crate) radius: f32,
}

/// The one light that casts shadows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Light {
    /// Unit vector towards it, and its colour.
    Sun { towards: Vec3, colour: Vec3 },
    /// Position and colour at 1 m; it fades with distance.
    Bulb { position: Vec3, colour: Vec3 },
}

impl Light {
    /// Unit vector towards the light from `position`, its distance, and its colour there.
    pub(crate) fn at(&self, position: Vec3) -> (Vec3, f32, Vec3) {
        match *self {
            Light::Sun { towards, colour } => (towards, f32::INFINITY, colour),
            Light::Bulb { position: bulb, colour } => {
                let path = bulb - position;
                let distance = path.length();
                (path * (1.0 / distance), distance, colour * (1.0 / (1.0 + 0.25 * distance * distance)))
            }
        }
    }
}

/// Light that comes from everywhere, and the air that it crosses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Air {
    /// Light from above and from below.
    pub(crate) above: Vec3,
    pub(crate) below: Vec3,
    /// Sky overhead and clouds; the haze is the sky at the horizon.
    pub(crate) zenith: Vec3,
    pub(crate) cloud: Vec3,
    pub(crate) haze: Vec3,
    /// Haze per metre.
    pub(crate) density: f32,
    /// How much of the sky the clouds cover, 0 to 1.
    pub(crate) cover: f32,
    pub(crate) seed: u32,
}

impl Air {
    /// `colour` as seen from `distance` metres away.
    pub(crate) fn veil(&self, colour: Vec3, distance: f32) -> Vec3 {
        let thick = distance * self.density;
        colour.mix(self.haze, 1.0 - 1.0 / (1.0 + thick + 0.5 * thick * thick))
    }

    /// The sky in a direction of any length.
    pub(crate) fn sky(&self, direction: Vec3) -> Vec3 {
        let up = most(direction.unit().y, 0.0);
        let (u, v) = (direction.x / (up + 0.12), direction.z / (up + 0.12));
        let puffs = 0.65 * noise(u * 0.9, v * 0.9, self.seed) + 0.35 * noise(u * 2.7, v * 2.7, self.seed + 1);
        let clouds = saturate(4.0 * (puffs + self.cover - 1.0)) * saturate(6.0 * up);
        let clear = self.haze.mix(self.zenith, saturate(1.8 * up));
        clear.mix(self.cloud, clouds)
    }
}

/// A whole scene.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) solids: Vec<Solid>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) camera: Camera,
    pub(crate) light: Light,
    pub(crate) air: Air,
}

impl World {
    pub(crate) fn new(camera: Camera, light: Light, air: Air) -> World {
        World { solids: Vec::with_capacity(128), instances: Vec::with_capacity(24), camera, light, air }
    }

    /// Adds a surface of the background, which casts no shadow: one instance per entry of `classes`.
    pub(crate) fn surface(&mut self, solid: Solid, classes: &[u8]) {
        let instance = self.instances.len() as u16;
        self.instances.extend(classes.iter().map(|&class| Instance {
            class,
            first: 0,
            last: 0,
            centre: Vec3::ZERO,
            radius: 0.0,
        }));
        self.solids.push(Solid { instance, ..solid });
    }

    /// Puts a thing with its foot at `origin`, turned by `basis`.
    pub(crate) fn place(&mut self, thing: &Thing, origin: Vec3, basis: Basis) {
        let (first, instance) = (self.solids.len(), self.instances.len() as u16);
        self.solids.extend(thing.solids.iter().map(|solid| Solid {
            centre: origin + basis.to_outer(solid.centre),
            basis: basis.compose(solid.basis),
            instance,
            ..*solid
        }));
        let (centre, radius) = ball(&self.solids[first..]);
        let last = self.solids.len();
        self.instances.push(Instance { class: thing.class, first, last, centre, radius });
    }

    /// Whether something stands between `from` and a light `distance` away along unit vector `towards`.
    pub(crate) fn shadowed(&self, from: Vec3, towards: Vec3, distance: f32) -> bool {
        self.instances.iter().any(|instance| {
            let path = instance.centre - from;
            let along = path.dot(towards);
            let reach = instance.radius * instance.radius;
            along > -instance.radius
                && path.dot(path) - along * along < reach
                && self.solids[instance.first..instance.last].iter().any(|solid| {
                    solid.is_near(from, towards)
                        && solid.contact(from, towards, distance).is_some()
                })
        })
    }
}

/// A ball around solids: centre of their bounds, and the radius that holds all of them.
fn ball(solids: &[Solid]) -> (Vec3, f32) {
    let (mut low, mut high) = (Vec3::splat(f32::INFINITY), Vec3::splat(f32::NEG_INFINITY));
    for solid in solids {
        let reach = solid.shape.extent().length();
        let (a, b) = (solid.centre - Vec3::splat(reach), solid.centre + Vec3::splat(reach));
        low = vec3(least(low.x, a.x), least(low.y, a.y), least(low.z, a.z));
        high = vec3(most(high.x, b.x), most(high.y, b.y), most(high.z, b.z));
    }
    let centre = low.mix(high, 0.5);
    let radius = solids
        .iter()
        .map(|solid| (solid.centre - centre).length() + solid.shape.extent().length())
        .fold(0.0, most);
    (centre, radius)
}

/// Daylight or lamp light: nearly white, a little warm or cold, `strength` from a range.
pub(crate) fn white(rng: &mut Stream, strength: [f32; 2]) -> Vec3 {
    let strength = rng.range(strength[0], strength[1]);
    let warmth = rng.range(-0.16, 0.22);
    vec3(1.0 + warmth, 1.0, 1.0 - warmth) * strength
}
