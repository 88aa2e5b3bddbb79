//! From a world to a photograph: first contacts, then light and shadow.

use ndarray::Array3;

use super::{
    camera::View,
    film::Film,
    math::{Vec3, floor, least, most, vec3},
    shape::Shape,
    solid::Solid,
    world::World,
};

/// What the ray through a point of the image meets first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Hit {
    /// Metres along the optical axis; infinite for the sky.
    pub(crate) depth: f32,
    /// Index of the solid, [`Hit::SKY`]'s if none.
    pub(crate) solid: u16,
    /// Face of the solid.
    pub(crate) face: u8,
}

impl Hit {
    pub(crate) const SKY: Hit = Hit { depth: f32::INFINITY, solid: u16::MAX, face: 0 };

    /// The solid that was met.
    pub(crate) fn solid<'a>(&self, world: &'a World) -> Option<&'a Solid> {
        world.solids.get(usize::from(self.solid))
    }
}

/// The first contact of the ray through the centre of every pixel, row by row.
pub(crate) fn cast(world: &World, view: &View) -> Vec<Hit> {
    let mut hits = vec![Hit::SKY; view.height * view.width];
    for (index, solid) in world.solids.iter().enumerate() {
        let Some([left, top, right, bottom]) = bounds(solid, view) else { continue };
        let origin = solid.basis.to_local(view.camera.eye - solid.centre);
        let step = solid.basis.to_local(view.camera.basis.x * view.pixel());
        for y in top..bottom {
            let start = view.direction(left as f32 + 0.5, y as f32 + 0.5);
            let start = solid.basis.to_local(start);
            let row = &mut hits[y * view.width + left..y * view.width + right];
            for (x, hit) in row.iter_mut().enumerate() {
                let direction = start + step * x as f32;
                if let Some(contact) = solid.shape.contact(origin, direction, 0.05, hit.depth) {
                    *hit = Hit { depth: contact.t, solid: index as u16, face: contact.face };
                }
            }
        }
    }
    hits
}

/// Columns and rows (left, top, right, bottom; ends excluded) that a solid can show in, if any.
fn bounds(solid: &Solid, view: &View) -> Option<[usize; 4]> {
    let whole = [0, 0, view.width, view.height];
    if matches!(solid.shape, Shape::Interior(_) | Shape::Ground(_)) {
        return Some(whole);
    }
    let half = solid.shape.extent();
    let (mut low, mut high) =
        ((f32::INFINITY, f32::INFINITY), (f32::NEG_INFINITY, f32::NEG_INFINITY));
    let mut hidden = 0;
    for corner in 0..8_u8 {
        let sign = |bit: u8| if corner & bit == 0 { -1.0 } else { 1.0 };
        let corner = solid.basis.to_outer(half * vec3(sign(1), sign(2), sign(4)));
        match view.project(solid.centre + corner) {
            Some((x, y)) => {
                low = (least(low.0, x), least(low.1, y));
                high = (most(high.0, x), most(high.1, y));
            }
            None => hidden += 1,
        }
    }
    match hidden {
        0 => {
            let pixel = |v: f32, end: usize| floor(v).clamp(0, end as i32) as usize;
            let (left, top) = (pixel(low.0, view.width), pixel(low.1, view.height));
            let (right, bottom) =
                (pixel(high.0 + 1.0, view.width), pixel(high.1 + 1.0, view.height));
            (left < right && top < bottom).then_some([left, top, right, bottom])
        }
        8 => None,
        _ => Some(whole),
    }
}

/// The photograph: one ray per pixel, four where solids meet.
pub(crate) fn photograph(world: &World, view: &View, hits: &[Hit], film: &Film) -> Array3<u8> {
    let mut light = Vec::with_capacity(hits.len());
    let mut near = Vec::with_capacity(5);
    for y in 0..view.height {
        for x in 0..view.width {
            let hit = hits[y * view.width + x];
            neighbours(hits, view, x, y, &mut near);
            light.push(if near.len() == 1 {
                shade(world, view, view.direction(x as f32 + 0.5, y as f32 + 0.5), hit)
            } else {
                blend(world, view, x as f32, y as f32, &near)
            });
        }
    }
    film.develop(&light, view)
}

/// The different solids among a pixel and the four beside it.
fn neighbours(hits: &[Hit], view: &View, x: usize, y: usize, near: &mut Vec<u16>) {
    let (right, below) = ((x + 1).min(view.width - 1), (y + 1).min(view.height - 1));
    let (left, above) = (x.saturating_sub(1), y.saturating_sub(1));
    near.clear();
    for (column, row) in [(x, y), (left, y), (right, y), (x, above), (x, below)] {
        let solid = hits[row * view.width + column].solid;
        if !near.contains(&solid) {
            near.push(solid);
        }
    }
}

/// Mean of four rays through the pixel at `(x, y)`, each against the solids in `near` alone.
fn blend(world: &World, view: &View, x: f32, y: f32, near: &[u16]) -> Vec3 {
    let grid = [(0.375, 0.125), (0.875, 0.375), (0.125, 0.625), (0.625, 0.875)];
    let sum = grid.into_iter().fold(Vec3::ZERO, |sum, (dx, dy)| {
        let direction = view.direction(x + dx, y + dy);
        sum + shade(world, view, direction, nearest(world, view, direction, near))
    });
    sum * 0.25
}

fn nearest(world: &World, view: &View, direction: Vec3, near: &[u16]) -> Hit {
    near.iter().fold(Hit::SKY, |hit, &index| {
        let contact = world
            .solids
            .get(usize::from(index))
            .and_then(|solid| solid.contact(view.camera.eye, direction, hit.depth));
        contact.map_or(hit, |c| Hit { depth: c.t, solid: index, face: c.face })
    })
}

/// Light that reaches the camera along `direction` from what it hits.
fn shade(world: &World, view: &View, direction: Vec3, hit: Hit) -> Vec3 {
    let Some(solid) = hit.solid(world) else { return world.air.sky(direction) };
    let length = direction.length();
    let point = view.camera.eye + direction * hit.depth;
    let local = solid.basis.to_local(point - solid.centre);
    let facing = solid.shape.normal(local, hit.face);
    let normal = solid.basis.to_outer(facing);
    let slant = -normal.dot(direction) / length;
    let footprint = hit.depth * view.pixel() / most(slant, 0.12);
    let material = &solid.material;
    let albedo = material.colour(local, facing, footprint);
    let (diffuse, shine) = lit(world, point, normal, direction * (-1.0 / length), hit.depth);
    let colour = albedo * (diffuse + Vec3::splat(material.glow)) + shine * material.gloss;
    world.air.veil(colour, hit.depth * length)
}

/// Light on a surface, and the highlight that it throws along `back`.
fn lit(world: &World, point: Vec3, normal: Vec3, back: Vec3, depth: f32) -> (Vec3, Vec3) {
    let ambient = world.air.below.mix(world.air.above, 0.5 + 0.5 * normal.y);
    let (towards, distance, colour) = world.light.at(point);
    let slope = normal.dot(towards);
    // Off the surface by more than rounding can move the point.
    let start = point + normal * (0.002 + 0.0005 * depth);
    if slope <= 0.0 || world.shadowed(start, towards, distance) {
        return (ambient, Vec3::ZERO);
    }
    let gleam = most(normal.dot((towards + back).unit()), 0.0);
    let gleam = gleam * gleam * gleam * gleam;
    let gleam = gleam * gleam * gleam * gleam;
    (ambient + colour * slope, colour * gleam)
}
