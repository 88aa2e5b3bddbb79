//! One random stream per image, keyed by seed, split and index.

use rand_pcg::{Pcg32, rand_core::RngCore};

use super::math::{Vec3, vec3};
use polyptych_data::scramble;

/// Random draws of one image, in a fixed order.
pub(crate) struct Stream(Pcg32);

impl Stream {
    /// The stream of image `index` of split number `split` (0 to 3).
    ///
    /// Split and index pick one of the generator's 2^63 sequences, so two images of one seed never
    /// share one; the seed picks the place in it.
    pub(crate) fn new(seed: u64, split: u64, index: u64) -> Stream {
        let sequence = (index << 2) | split;
        Stream(Pcg32::new(scramble(seed ^ scramble(sequence)), sequence))
    }

    pub(crate) fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-24.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((u64::from(self.bits()) * count as u64) >> 32) as usize
    }

    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Any angle: uniform in `[0, 2 pi)`.
    pub(crate) fn turn(&mut self) -> f32 {
        self.range(0.0, std::f32::consts::TAU)
    }

    /// One of `options`, which must not be empty.
    pub(crate) fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.below(options.len())]
    }

    /// A linear RGB colour of any hue, with saturation and value (0 to 1) from the two ranges.
    pub(crate) fn colour(&mut self, saturation: [f32; 2], value: [f32; 2]) -> Vec3 {
        let hue = self.range(0.0, 6.0);
        self.tint(hue, saturation, value)
    }

    /// A colour as [`Stream::colour`], of the given hue: 0 red, 2 green, 4 blue, up to 6.
    pub(crate) fn tint(&mut self, hue: f32, saturation: [f32; 2], value: [f32; 2]) -> Vec3 {
        let saturation = self.range(saturation[0], saturation[1]);
        let value = self.range(value[0], value[1]);
        let channel = |offset: f32| {
            let k = (offset + hue) % 6.0;
            let ramp = k.min(4.0 - k).clamp(0.0, 1.0);
            let shown = value - value * saturation * ramp;
            shown * shown
        };
        vec3(channel(5.0), channel(3.0), channel(1.0))
    }
}
