//! A shape at its place.

use super::{
    math::{Basis, Vec3, vec3},
    shape::{Contact, Shape},
    texture::Material,
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
    pub(crate) fn is_near(&self, origin: Vec3, towards: Vec3) -> bool {
        let (path, half) = (self.centre - origin, self.shape.extent());
        let along = path.dot(towards);
        path.dot(path) - along * along < half.dot(half)
    }

    /// The lowest height of the solid.
    pub(crate) fn bottom(&self) -> f32 {
        self.centre.y - self.shape.support(self.basis.to_local(vec3(0.0, -1.0, 0.0)))
    }
}
