//! Vectors and orthonormal bases in plain single precision: the same bits on every machine.
//!
//! Additions, products, quotients and square roots are exact to the last bit by IEEE 754; sine and
//! cosine come from `libm`, whose results do not depend on the platform. Nothing is fused.

use std::ops::{Add, Mul, Neg, Sub};

/// Three numbers: a point or direction (x right, y up, z forward) or a linear RGB colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Vec3 {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) z: f32,
}

/// Shorthand for a [`Vec3`].
pub(crate) const fn vec3(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3 { x, y, z }
}

impl Vec3 {
    pub(crate) const ZERO: Vec3 = vec3(0.0, 0.0, 0.0);
    pub(crate) const X: Vec3 = vec3(1.0, 0.0, 0.0);
    pub(crate) const Y: Vec3 = vec3(0.0, 1.0, 0.0);
    pub(crate) const Z: Vec3 = vec3(0.0, 0.0, 1.0);

    pub(crate) const fn splat(v: f32) -> Vec3 {
        vec3(v, v, v)
    }

    pub(crate) fn dot(self, other: Vec3) -> f32 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub(crate) fn cross(self, other: Vec3) -> Vec3 {
        vec3(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    pub(crate) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The vector at unit length; it must not be zero.
    pub(crate) fn unit(self) -> Vec3 {
        self * (1.0 / self.length())
    }

    /// This where `t` is 0, `other` where `t` is 1.
    pub(crate) fn mix(self, other: Vec3, t: f32) -> Vec3 {
        self + (other - self) * t
    }
}

impl Add for Vec3 {
    type Output = Vec3;
    fn add(self, other: Vec3) -> Vec3 {
        vec3(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl Sub for Vec3 {
    type Output = Vec3;
    fn sub(self, other: Vec3) -> Vec3 {
        vec3(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Neg for Vec3 {
    type Output = Vec3;
    fn neg(self) -> Vec3 {
        vec3(-self.x, -self.y, -self.z)
    }
}

impl Mul<f32> for Vec3 {
    type Output = Vec3;
    fn mul(self, factor: f32) -> Vec3 {
        vec3(self.x * factor, self.y * factor, self.z * factor)
    }
}

impl Mul for Vec3 {
    type Output = Vec3;
    fn mul(self, other: Vec3) -> Vec3 {
        vec3(self.x * other.x, self.y * other.y, self.z * other.z)
    }
}

/// Three orthonormal axes of a local frame, given in the frame around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Basis {
    pub(crate) x: Vec3,
    pub(crate) y: Vec3,
    pub(crate) z: Vec3,
}

impl Basis {
    pub(crate) const WORLD: Basis = Basis { x: Vec3::X, y: Vec3::Y, z: Vec3::Z };

    /// A turn about the vertical axis by `angle` radians, from z towards x.
    pub(crate) fn yaw(angle: f32) -> Basis {
        let (s, c) = libm::sincosf(angle);
        Basis { x: vec3(c, 0.0, -s), y: Vec3::Y, z: vec3(s, 0.0, c) }
    }

    /// A frame whose y axis points along `direction`, which must not be zero.
    pub(crate) fn along(direction: Vec3) -> Basis {
        let y = direction.unit();
        let aside = if y.x < 0.9 && y.x > -0.9 { Vec3::X } else { Vec3::Z };
        let z = aside.cross(y).unit();
        Basis { x: y.cross(z), y, z }
    }

    pub(crate) fn to_local(self, v: Vec3) -> Vec3 {
        vec3(self.x.dot(v), self.y.dot(v), self.z.dot(v))
    }

    pub(crate) fn to_outer(self, v: Vec3) -> Vec3 {
        self.x * v.x + self.y * v.y + self.z * v.z
    }

    /// The frame `inner`, given in this frame, as seen from outside.
    pub(crate) fn compose(self, inner: Basis) -> Basis {
        Basis { x: self.to_outer(inner.x), y: self.to_outer(inner.y), z: self.to_outer(inner.z) }
    }
}

/// The smaller number; `b` if either is no number.
pub(crate) fn least(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The larger number; `b` if either is no number.
pub(crate) fn most(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// `v` kept within 0 and 1.
pub(crate) fn saturate(v: f32) -> f32 {
    least(most(v, 0.0), 1.0)
}

/// The largest whole number that is not above `v`.
pub(crate) fn floor(v: f32) -> i32 {
    let whole = v as i32;
    whole - i32::from(whole as f32 > v)
}
