//! Everything in front of the camera: solids, and the instances they form.

use super::{
    camera::Camera,
    light::{Air, Light},
    math::{Basis, Vec3, least, most, vec3},
    solid::Solid,
    thing::Thing,
};

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
        World {
            solids: Vec::with_capacity(128),
            instances: Vec::with_capacity(24),
            camera,
            light,
            air,
        }
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
            let bound = instance.radius * instance.radius;
            along > -instance.radius
                && path.dot(path) - along * along < bound
                && self.solids[instance.first..instance.last].iter().any(|solid| {
                    solid.is_near(from, towards) && solid.contact(from, towards, distance).is_some()
                })
        })
    }
}

/// A ball around solids: centre of their bounds, and the radius that holds all of them.
fn ball(solids: &[Solid]) -> (Vec3, f32) {
    let (mut low, mut high) = (Vec3::splat(f32::INFINITY), Vec3::splat(f32::NEG_INFINITY));
    for solid in solids {
        let extent = solid.shape.extent().length();
        let (a, b) = (solid.centre - Vec3::splat(extent), solid.centre + Vec3::splat(extent));
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
