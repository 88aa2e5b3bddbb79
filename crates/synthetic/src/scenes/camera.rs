//! A pinhole camera and the grid of pixels it fills.

use super::math::{Basis, Vec3, vec3};
use super::rng::Stream;

/// Where the camera stands, how it is turned and how wide it looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Camera {
    pub(crate) eye: Vec3,
    /// x right, y up, z along the optical axis.
    pub(crate) basis: Basis,
    /// Tangent of half the vertical angle of view.
    pub(crate) tangent: f32,
}

/// A camera with an image size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) camera: Camera,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Camera {
    /// A camera at `eye` that looks `yaw` to the right of z and `pitch` above the horizon,
    /// slightly rolled, with a vertical angle of view from 45 to 70 degrees.
    pub(crate) fn aimed(rng: &mut Stream, eye: Vec3, yaw: f32, pitch: f32) -> Camera {
        let (s, c) = libm::sincosf(pitch);
        let tilt = Basis { x: Vec3::X, y: vec3(0.0, c, -s), z: vec3(0.0, s, c) };
        let (s, c) = libm::sincosf(rng.range(-0.06, 0.06));
        let roll = Basis { x: vec3(c, s, 0.0), y: vec3(-s, c, 0.0), z: Vec3::Z };
        let basis = Basis::yaw(yaw).compose(tilt).compose(roll);
        Camera { eye, basis, tangent: rng.range(0.42, 0.70) }
    }
}

impl View {
    /// Direction through image point `(x, y)` in pixels from the top left corner, with length 1
    /// along the optical axis: a ray's parameter is its depth.
    pub(crate) fn direction(&self, x: f32, y: f32) -> Vec3 {
        let basis = self.camera.basis;
        let unit = self.pixel();
        let (right, up) = (x - 0.5 * self.width as f32, 0.5 * self.height as f32 - y);
        basis.z + basis.x * (right * unit) + basis.y * (up * unit)
    }

    /// Width of a pixel at depth 1.
    pub(crate) fn pixel(&self) -> f32 {
        2.0 * self.camera.tangent / self.height as f32
    }

    /// Image point of a position, if it is at least 5 cm in front of the camera.
    pub(crate) fn project(&self, position: Vec3) -> Option<(f32, f32)> {
        let seen = self.camera.basis.to_local(position - self.camera.eye);
        let scale = 1.0 / (seen.z * self.pixel());
        let (x, y) = (0.5 * self.width as f32, 0.5 * self.height as f32);
        (seen.z > 0.05).then_some((x + seen.x * scale, y - seen.y * scale))
    }
}
