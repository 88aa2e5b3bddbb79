//! An object before it has its place.

use super::{
    math::{Basis, Vec3, most, vec3},
    shape::Shape,
    solid::Solid,
    texture::Material,
};

/// An object in its own frame: foot at the origin, front along z.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    pub(crate) class: u8,
    pub(crate) solids: Vec<Solid>,
    /// Height of a surface that carries small things, and its radius.
    pub(crate) top: Option<(f32, f32)>,
}

impl Thing {
    pub(crate) fn new(class: u8) -> Thing {
        Thing { class, solids: Vec::with_capacity(16), top: None }
    }

    /// Adds an upright shape around `centre`.
    pub(crate) fn add(&mut self, shape: Shape, centre: Vec3, material: Material) {
        self.turned(shape, centre, Basis::WORLD, material);
    }

    /// Adds a shape turned by `basis`.
    pub(crate) fn turned(&mut self, shape: Shape, centre: Vec3, basis: Basis, material: Material) {
        self.solids.push(Solid { shape, centre, basis, material, instance: 0, part: 0 });
    }

    /// Adds a block with its foot at height `foot`, from full edges.
    pub(crate) fn block(&mut self, edges: Vec3, x: f32, foot: f32, z: f32, material: Material) {
        self.add(Shape::Block(edges * 0.5), vec3(x, foot + 0.5 * edges.y, z), material);
    }

    /// Adds a frustum around the vertical axis from height `foot` to `head`.
    pub(crate) fn turnery(
        &mut self,
        foot: f32,
        head: f32,
        low: f32,
        high: f32,
        material: Material,
    ) {
        let shape = Shape::Frustum { half: 0.5 * (head - foot), low, high };
        self.add(shape, vec3(0.0, 0.5 * (foot + head), 0.0), material);
    }

    /// Moves the thing so that its lowest point lies at height 0.
    pub(crate) fn settle(&mut self) {
        let bottom = self.solids.iter().map(Solid::bottom).fold(f32::INFINITY, f32::min);
        for solid in &mut self.solids {
            solid.centre.y -= bottom;
        }
    }

    /// Radius of the circle that the thing needs on the ground.
    pub(crate) fn radius(&self) -> f32 {
        let extent = |solid: &Solid| {
            let side = |v: Vec3| solid.shape.support(solid.basis.to_local(v));
            let half =
                vec3(most(side(Vec3::X), side(-Vec3::X)), 0.0, most(side(Vec3::Z), side(-Vec3::Z)));
            vec3(solid.centre.x.abs() + half.x, 0.0, solid.centre.z.abs() + half.z)
        };
        let bounds = self
            .solids
            .iter()
            .map(extent)
            .fold(Vec3::ZERO, |a, b| vec3(most(a.x, b.x), 0.0, most(a.z, b.z)));
        most(bounds.x, bounds.z)
    }

    /// The same thing, `factor` times as large.
    pub(crate) fn scaled(mut self, factor: f32) -> Thing {
        for solid in &mut self.solids {
            solid.shape = solid.shape.scaled(factor);
            solid.centre = solid.centre * factor;
            solid.material.frequency /= factor;
        }
        self.top = self.top.map(|(height, radius)| (height * factor, radius * factor));
        self
    }
}
