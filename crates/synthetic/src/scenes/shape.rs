//! Solids in their own frames: where a ray enters them and how their surface faces there.

use super::math::{Vec3, least, most, vec3};

/// A solid around the origin of its frame; lengths in metres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    /// Semi-axes.
    Ellipsoid(Vec3),
    /// Half edges.
    Block(Vec3),
    /// Cone or cylinder around y, with radius `low` at `-half` and `high` at `half`.
    Frustum { half: f32, low: f32, high: f32 },
    /// Cylinder around y with round ends outside of `half`.
    Capsule { half: f32, radius: f32 },
    /// Block whose width in x shrinks by the factor `top` from bottom to top: a roof, a cabin.
    Gable { half: Vec3, top: f32 },
    /// The inside of a block: a room.
    Interior(Vec3),
    /// Horizontal disc of this radius at y = 0.
    Ground(f32),
}

/// Where a ray enters a solid: the ray's parameter, and which face it enters through.
///
/// Faces of blocks: `2 a` looks down axis `a`, `2 a + 1` looks up it. Faces of frustums: 0 side,
/// 2 bottom, 3 top. Other shapes have the face 0 alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Contact {
    pub(crate) t: f32,
    pub(crate) face: u8,
}

impl Shape {
    /// The first contact of `origin + t * direction` with `near < t < far`.
    ///
    /// Solids are convex, so a ray that starts inside one does not touch it; rooms are seen from inside.
    pub(crate) fn contact(&self, o: Vec3, d: Vec3, near: f32, far: f32) -> Option<Contact> {
        let contact = match *self {
            Shape::Ellipsoid(radii) => ellipsoid(radii, o, d),
            Shape::Block(half) => block(half, o, d),
            Shape::Frustum { half, low, high } => frustum(half, low, high, o, d, near),
            Shape::Capsule { half, radius } => capsule(half, radius, o, d),
            Shape::Gable { half, top } => gable(half, top, o, d),
            Shape::Interior(half) => interior(half, o, d),
            Shape::Ground(radius) => ground(radius, o, d),
        }?;
        (contact.t > near && contact.t < far).then_some(contact)
    }

    /// The outward unit normal at point `p` of face `face`.
    pub(crate) fn normal(&self, p: Vec3, face: u8) -> Vec3 {
        match *self {
            Shape::Ellipsoid(r) => {
                vec3(p.x / (r.x * r.x), p.y / (r.y * r.y), p.z / (r.z * r.z)).unit()
            }
            Shape::Frustum { half, low, high } if face == 0 => {
                let slope = (high - low) / (2.0 * half);
                vec3(p.x, -slope * ((low + high) * 0.5 + slope * p.y), p.z).unit()
            }
            Shape::Capsule { half, .. } => {
                vec3(p.x, p.y - most(least(p.y, half), -half), p.z).unit()
            }
            Shape::Gable { half, top } if face < 2 => gable_slope(half, top, face).0,
            Shape::Ground(_) => Vec3::Y,
            _ => axis_normal(face),
        }
    }

    /// Half edges of the tightest block in the shape's own frame.
    pub(crate) fn extent(&self) -> Vec3 {
        match *self {
            Shape::Ellipsoid(half) | Shape::Block(half) | Shape::Interior(half) => half,
            Shape::Gable { half, .. } => half,
            Shape::Frustum { half, low, high } => vec3(most(low, high), half, most(low, high)),
            Shape::Capsule { half, radius } => vec3(radius, half + radius, radius),
            Shape::Ground(radius) => vec3(radius, 0.0, radius),
        }
    }

    /// How far the shape, or a block around it, extends along the unit vector `v` of its frame.
    pub(crate) fn support(&self, v: Vec3) -> f32 {
        let across = (1.0 - least(v.y * v.y, 1.0)).sqrt();
        match *self {
            Shape::Ellipsoid(half) => (half * v).length(),
            Shape::Frustum { half, low, high } => {
                most(high * across + half * v.y, low * across - half * v.y)
            }
            Shape::Capsule { half, radius } => half * v.y.abs() + radius,
            _ => self.extent().dot(vec3(v.x.abs(), v.y.abs(), v.z.abs())),
        }
    }

    /// The same shape, `factor` times as large.
    pub(crate) fn scaled(self, factor: f32) -> Shape {
        match self {
            Shape::Ellipsoid(half) => Shape::Ellipsoid(half * factor),
            Shape::Block(half) => Shape::Block(half * factor),
            Shape::Interior(half) => Shape::Interior(half * factor),
            Shape::Ground(radius) => Shape::Ground(radius * factor),
            Shape::Gable { half, top } => Shape::Gable { half: half * factor, top },
            Shape::Capsule { half, radius } => {
                Shape::Capsule { half: half * factor, radius: radius * factor }
            }
            Shape::Frustum { half, low, high } => {
                Shape::Frustum { half: half * factor, low: low * factor, high: high * factor }
            }
        }
    }
}

fn axis_normal(face: u8) -> Vec3 {
    let sign = if face & 1 == 1 { 1.0 } else { -1.0 };
    [Vec3::X, Vec3::Y, Vec3::Z][usize::from(face / 2).min(2)] * sign
}

/// The face of axis `axis` that a ray going `along` it meets first.
fn facing(axis: u8, along: f32) -> u8 {
    2 * axis + u8::from(along < 0.0)
}

/// The smaller root of `a t^2 + 2 b t + c`.
fn first_root(a: f32, b: f32, c: f32) -> Option<f32> {
    let inside = b * b - a * c;
    (inside >= 0.0).then(|| (-b - inside.sqrt()) / a)
}

fn ellipsoid(radii: Vec3, o: Vec3, d: Vec3) -> Option<Contact> {
    let inverse = vec3(1.0 / radii.x, 1.0 / radii.y, 1.0 / radii.z);
    let (o, d) = (o * inverse, d * inverse);
    let t = first_root(d.dot(d), o.dot(d), o.dot(o) - 1.0)?;
    Some(Contact { t, face: 0 })
}

fn block(half: Vec3, o: Vec3, d: Vec3) -> Option<Contact> {
    let (mut enter, mut leave, mut axis) = (f32::NEG_INFINITY, f32::INFINITY, 0);
    for (i, (o, d, half)) in
        [(o.x, d.x, half.x), (o.y, d.y, half.y), (o.z, d.z, half.z)].into_iter().enumerate()
    {
        let inverse = 1.0 / d;
        let middle = -o * inverse;
        let extent = half * inverse.abs();
        if middle - extent > enter {
            (enter, axis) = (middle - extent, i);
        }
        leave = least(leave, middle + extent);
    }
    let along = [d.x, d.y, d.z][axis];
    (enter <= leave).then(|| Contact { t: enter, face: facing(axis as u8, along) })
}

fn interior(half: Vec3, o: Vec3, d: Vec3) -> Option<Contact> {
    let exit = |o: f32, d: f32, half: f32| if d > 0.0 { (half - o) / d } else { (-half - o) / d };
    let (x, y, z) = (exit(o.x, d.x, half.x), exit(o.y, d.y, half.y), exit(o.z, d.z, half.z));
    let (t, face) = if x < y && x < z {
        (x, facing(0, d.x))
    } else if y < z {
        (y, facing(1, d.y))
    } else {
        (z, facing(2, d.z))
    };
    Some(Contact { t, face })
}

fn ground(radius: f32, o: Vec3, d: Vec3) -> Option<Contact> {
    let t = -o.y / d.y;
    let (x, z) = (o.x + t * d.x, o.z + t * d.z);
    (d.y < 0.0 && x * x + z * z <= radius * radius).then_some(Contact { t, face: 0 })
}

fn capsule(half: f32, radius: f32, o: Vec3, d: Vec3) -> Option<Contact> {
    let a = d.x * d.x + d.z * d.z;
    let c = o.x * o.x + o.z * o.z - radius * radius;
    let t = first_root(a, o.x * d.x + o.z * d.z, c)?;
    let y = o.y + t * d.y;
    if y.abs() <= half {
        return Some(Contact { t, face: 0 });
    }
    let o = vec3(o.x, if y > 0.0 { o.y - half } else { o.y + half }, o.z);
    let t = first_root(d.dot(d), o.dot(d), o.dot(o) - radius * radius)?;
    Some(Contact { t, face: 0 })
}

fn frustum(half: f32, low: f32, high: f32, o: Vec3, d: Vec3, near: f32) -> Option<Contact> {
    let end = if d.y > 0.0 { -half } else { half };
    let t = (end - o.y) / d.y;
    let (x, z) = (o.x + t * d.x, o.z + t * d.z);
    let rim = if d.y > 0.0 { low } else { high };
    if t > near && x * x + z * z <= rim * rim {
        return Some(Contact { t, face: facing(1, d.y) });
    }
    let slope = (high - low) / (2.0 * half);
    let here = (low + high) * 0.5 + slope * o.y;
    let a = d.x * d.x + d.z * d.z - slope * slope * d.y * d.y;
    let b = o.x * d.x + o.z * d.z - slope * here * d.y;
    let c = o.x * o.x + o.z * o.z - here * here;
    let inside = b * b - a * c;
    if inside < 0.0 {
        return None;
    }
    // Where the ray is steeper than the cone, the entry is the other root.
    let root = if a > 0.0 { -inside.sqrt() } else { inside.sqrt() };
    [(-b + root) / a, (-b - root) / a]
        .into_iter()
        .find(|&t| t > near && (o.y + t * d.y).abs() <= half)
        .map(|t| Contact { t, face: 0 })
}

/// Normal and distance from the origin of the slope that looks down (face 0) or up (1) the x axis.
fn gable_slope(half: Vec3, top: f32, face: u8) -> (Vec3, f32) {
    let sign = if face == 1 { 1.0 } else { -1.0 };
    let normal = vec3(2.0 * half.y * sign, half.x * (1.0 - top), 0.0).unit();
    (normal, normal.dot(vec3(half.x * sign, -half.y, 0.0)))
}

fn gable(half: Vec3, top: f32, o: Vec3, d: Vec3) -> Option<Contact> {
    let flat = |face: u8, half: f32| (axis_normal(face), half);
    let planes = [
        gable_slope(half, top, 0),
        gable_slope(half, top, 1),
        flat(2, half.y),
        flat(3, half.y),
        flat(4, half.z),
        flat(5, half.z),
    ];
    let (mut enter, mut leave, mut face) = (f32::NEG_INFINITY, f32::INFINITY, 0);
    for (i, (normal, distance)) in planes.into_iter().enumerate() {
        let (speed, gap) = (normal.dot(d), distance - normal.dot(o));
        let t = gap / speed;
        if speed < 0.0 && t > enter {
            (enter, face) = (t, i as u8);
        } else if speed > 0.0 {
            leave = least(leave, t);
        } else if speed == 0.0 && gap < 0.0 {
            return None;
        }
    }
    (enter <= leave).then_some(Contact { t: enter, face })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenes::rng::Stream;

    const SOLIDS: [Shape; 8] = [
        Shape::Ellipsoid(vec3(0.7, 0.4, 1.0)),
        Shape::Block(vec3(0.7, 0.4, 1.0)),
        Shape::Frustum { half: 0.6, low: 0.8, high: 0.0 },
        Shape::Frustum { half: 0.6, low: 0.3, high: 0.9 },
        Shape::Frustum { half: 0.6, low: 0.5, high: 0.5 },
        Shape::Capsule { half: 0.5, radius: 0.3 },
        Shape::Gable { half: vec3(0.9, 0.5, 0.7), top: 0.0 },
        Shape::Gable { half: vec3(0.9, 0.5, 0.7), top: 0.6 },
    ];

    /// The definition of each solid, written down a second time.
    fn inside(shape: &Shape, p: Vec3) -> bool {
        let ring = p.x * p.x + p.z * p.z;
        match *shape {
            Shape::Ellipsoid(r) => {
                let (x, y, z) = (p.x / r.x, p.y / r.y, p.z / r.z);
                x * x + y * y + z * z < 1.0
            }
            Shape::Frustum { half, low, high } => {
                let radius = low + (high - low) * (p.y + half) / (2.0 * half);
                p.y.abs() < half && ring < radius * radius
            }
            Shape::Capsule { half, radius } => {
                let over = (p.y.abs() - half).max(0.0);
                ring + over * over < radius * radius
            }
            Shape::Gable { half, top } => {
                let wide = half.x * (1.0 - (1.0 - top) * (p.y + half.y) / (2.0 * half.y));
                p.x.abs() < wide && p.y.abs() < half.y && p.z.abs() < half.z
            }
            _ => {
                let half = shape.extent();
                p.x.abs() < half.x && p.y.abs() < half.y && p.z.abs() < half.z
            }
        }
    }

    fn ray(rng: &mut Stream) -> (Vec3, Vec3) {
        let mut point = |size: f32| {
            vec3(rng.range(-size, size), rng.range(-size, size), rng.range(-size, size))
        };
        let origin = point(1.0).unit() * 3.0;
        (origin, (point(0.8) - origin).unit())
    }

    #[test]
    fn a_contact_is_the_first_point_inside_and_its_normal_looks_back() {
        let mut rng = Stream::new(1, 0, 0);
        for shape in SOLIDS {
            let mut touched = 0;
            for _ in 0..400 {
                let (o, d) = ray(&mut rng);
                let first = (0..6000).map(|i| i as f32 * 1e-3).find(|&t| inside(&shape, o + d * t));
                let contact = shape.contact(o, d, 0.0, 10.0);
                match (first, contact) {
                    (Some(first), Some(contact)) => {
                        touched += 1;
                        assert!((first - contact.t).abs() < 3e-3, "{shape:?} {o:?} {d:?}");
                        let normal = shape.normal(o + d * contact.t, contact.face);
                        assert!((normal.length() - 1.0).abs() < 1e-5, "{shape:?} {normal:?}");
                        assert!(normal.dot(d) < 1e-3, "{shape:?} {o:?} {d:?} {normal:?}");
                        let p = o + d * contact.t;
                        assert!(!inside(&shape, p + normal * 0.01), "{shape:?} {p:?} {normal:?}");
                    }
                    // Rays that graze less than one step of the search.
                    (None, Some(contact)) => {
                        assert!(
                            !inside(&shape, o + d * (contact.t + 0.05)),
                            "{shape:?} {o:?} {d:?}"
                        );
                    }
                    (Some(first), None) => panic!("{shape:?} {o:?} {d:?}: missed at {first}"),
                    (None, None) => {}
                }
            }
            assert!(touched > 50, "{shape:?} was touched {touched} times");
        }
    }

    #[test]
    fn a_shape_reaches_exactly_as_far_as_its_points() {
        let mut rng = Stream::new(2, 0, 0);
        for shape in SOLIDS {
            let half = shape.extent();
            let down = vec3(0.2, -1.0, 0.4).unit();
            let farthest = (0..20_000)
                .map(|_| {
                    vec3(rng.range(-1.0, 1.0), rng.range(-1.0, 1.0), rng.range(-1.0, 1.0)) * half
                })
                .filter(|&p| inside(&shape, p))
                .fold(0.0, |far, p| most(far, p.dot(down)));
            let support = shape.support(down);
            assert!(support >= farthest, "{shape:?}: {support} < {farthest}");
            assert!(support < farthest + 0.12, "{shape:?}: {support} > {farthest}");
        }
    }

    #[test]
    fn a_room_is_met_from_inside_and_the_ground_from_above() {
        let room = Shape::Interior(vec3(2.0, 1.0, 3.0));
        let contact = room.contact(Vec3::ZERO, vec3(0.1, -0.2, 1.0), 0.0, 10.0);
        assert_eq!(contact, Some(Contact { t: 3.0, face: 4 }));
        assert_eq!(room.normal(vec3(0.3, -0.6, 3.0), 4), -Vec3::Z);
        let ground = Shape::Ground(50.0);
        let contact = ground.contact(vec3(0.0, 2.0, 0.0), vec3(0.0, -0.1, 1.0), 0.0, 100.0);
        assert!((contact.map_or(0.0, |c| c.t) - 20.0).abs() < 1e-5);
        assert!(ground.contact(vec3(0.0, 2.0, 0.0), vec3(0.0, 0.1, 1.0), 0.0, 100.0).is_none());
        assert!(ground.contact(vec3(0.0, 2.0, 0.0), vec3(0.0, -0.01, 1.0), 0.0, 1e9).is_none());
    }
}
