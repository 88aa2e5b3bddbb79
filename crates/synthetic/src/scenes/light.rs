//! The light that casts shadows, the light that does not, and the air between.

use super::{
    math::{Vec3, most, saturate, vec3},
    rng::Stream,
    texture::noise,
};

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
                (
                    path * (1.0 / distance),
                    distance,
                    colour * (1.0 / (1.0 + 0.25 * distance * distance)),
                )
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
        let puffs = 0.65 * noise(u * 0.9, v * 0.9, self.seed)
            + 0.35 * noise(u * 2.7, v * 2.7, self.seed + 1);
        let clouds = saturate(4.0 * (puffs + self.cover - 1.0)) * saturate(6.0 * up);
        let clear = self.haze.mix(self.zenith, saturate(1.8 * up));
        clear.mix(self.cloud, clouds)
    }
}

/// Daylight or lamp light: nearly white, a little warm or cold, `strength` from a range.
pub(crate) fn white(rng: &mut Stream, strength: [f32; 2]) -> Vec3 {
    let strength = rng.range(strength[0], strength[1]);
    let warmth = rng.range(-0.16, 0.22);
    vec3(1.0 + warmth, 1.0, 1.0 - warmth) * strength
}
