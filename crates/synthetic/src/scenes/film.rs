//! From light to bytes: exposure, colour cast, tone curve and grain.

use ndarray::Array3;

use super::{
    camera::View,
    math::{Vec3, most, saturate, vec3},
    rng::Stream,
    texture::hash,
};

/// Exposure and grain of one photograph.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Film {
    /// Mean brightness that the exposure aims at.
    target: f32,
    tint: Vec3,
    /// Standard deviation of the noise, of 255.
    noise: f32,
    seed: u32,
}

impl Film {
    pub(crate) fn draw(rng: &mut Stream) -> Film {
        let cast = rng.range(-0.08, 0.08);
        Film {
            target: rng.range(0.13, 0.32),
            tint: vec3(1.0 + cast, 1.0, 1.0 - cast),
            noise: rng.range(1.0, 9.0),
            seed: rng.bits(),
        }
    }

    /// Linear colours, row by row, to 8-bit RGB.
    pub(crate) fn develop(&self, light: &[Vec3], view: &View) -> Array3<u8> {
        let mean =
            light.iter().map(|c| c.dot(vec3(0.3, 0.6, 0.1))).sum::<f32>() / light.len() as f32;
        let gain = self.tint * (self.target / most(mean, 1e-3));
        let mut bytes = Vec::with_capacity(light.len() * 3);
        for (index, colour) in light.iter().enumerate() {
            let colour = *colour * gain;
            for (channel, value) in [colour.x, colour.y, colour.z].into_iter().enumerate() {
                // Highlights roll off instead of clipping at once.
                let tone = saturate(1.2 * value / (1.0 + 0.2 * value)).sqrt();
                let grain = gauss(hash(index as u32, channel as u32, self.seed)) * self.noise;
                bytes.push((255.0 * tone + grain + 0.5) as u8);
            }
        }
        Array3::from_shape_vec((view.height, view.width, 3), bytes)
            .expect("one RGB triple was written per pixel")
    }
}

/// The sum of four bytes: nearly normal, mean 0, variance 1.
fn gauss(bits: u32) -> f32 {
    let sum: u32 = bits.to_le_bytes().into_iter().map(u32::from).sum();
    (sum as f32 - 510.0) * (1.0 / 147.8)
}
