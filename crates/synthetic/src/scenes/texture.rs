//! Surface colours: cheap patterns in a solid's own coordinates, so textures turn with it.

use super::math::{Vec3, floor, saturate};
use super::rng::Stream;

/// How two colours share a surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    Plain,
    Checker,
    Stripes,
    Bricks,
    Planks,
    Dots,
    Marble,
    Speckle,
}

impl Pattern {
    const ALL: [Pattern; 8] = [
        Pattern::Plain,
        Pattern::Checker,
        Pattern::Stripes,
        Pattern::Bricks,
        Pattern::Planks,
        Pattern::Dots,
        Pattern::Marble,
        Pattern::Speckle,
    ];
}

/// How a surface answers light.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Material {
    pub(crate) colours: [Vec3; 2],
    pub(crate) pattern: Pattern,
    /// Pattern cells per metre.
    pub(crate) frequency: f32,
    /// Strength of the fine noise over the pattern.
    pub(crate) grain: f32,
    /// Strength of the highlight.
    pub(crate) gloss: f32,
    /// Light of its own, in units of its colour.
    pub(crate) glow: f32,
    pub(crate) seed: u32,
}

impl Material {
    /// Any colours, any pattern, for things of about `size` metres.
    pub(crate) fn any(rng: &mut Stream, size: f32) -> Material {
        let first = rng.colour([0.0, 0.9], [0.2, 0.98]);
        let second = rng.colour([0.0, 0.9], [0.2, 0.98]);
        let pattern = rng.pick(&Pattern::ALL);
        Material::of(rng, first, second, pattern, size)
    }

    /// One colour with a faint second one.
    pub(crate) fn plain(rng: &mut Stream, colour: Vec3) -> Material {
        let second = colour * rng.range(0.6, 0.9);
        let pattern = rng.pick(&[Pattern::Plain, Pattern::Speckle]);
        Material::of(rng, colour, second, pattern, 0.5)
    }

    /// Two colours in `pattern`, with 2 to 7 cells over `size` metres.
    pub(crate) fn of(
        rng: &mut Stream,
        first: Vec3,
        second: Vec3,
        pattern: Pattern,
        size: f32,
    ) -> Material {
        Material {
            colours: [first, second],
            pattern,
            frequency: rng.range(2.0, 7.0) / size,
            grain: rng.range(0.1, 0.5),
            gloss: if rng.chance(0.4) { rng.range(0.1, 0.7) } else { 0.0 },
            glow: 0.0,
            seed: rng.bits(),
        }
    }

    /// Brown to pale wood.
    pub(crate) fn wood(rng: &mut Stream, size: f32) -> Material {
        let hue = rng.range(0.25, 0.75);
        let first = rng.tint(hue, [0.3, 0.7], [0.35, 0.85]);
        let second = first * rng.range(0.45, 0.8);
        let pattern = rng.pick(&[Pattern::Marble, Pattern::Planks, Pattern::Stripes]);
        Material::of(rng, first, second, pattern, size)
    }

    /// Colour at point `p` with normal `n`, both in the solid's frame, seen by a pixel that covers
    /// `footprint` metres there: patterns too fine for it fade to their mean.
    pub(crate) fn colour(&self, p: Vec3, n: Vec3, footprint: f32) -> Vec3 {
        let (u, v) = flatten(p, n);
        let (u, v) = (u * self.frequency, v * self.frequency);
        let sharp = saturate(1.4 - 1.6 * footprint * self.frequency);
        let share = if sharp > 0.0 { 0.5 + (self.share(u, v) - 0.5) * sharp } else { 0.5 };
        let base = self.colours[0].mix(self.colours[1], share);
        let fine = saturate(1.3 - 6.0 * footprint * self.frequency);
        let mottle = noise(u * 0.31, v * 0.31, self.seed ^ 0x51) - 0.5;
        let grit = if fine > 0.0 { (noise(u * 5.3, v * 5.3, self.seed) - 0.5) * fine } else { 0.0 };
        base * (1.0 + self.grain * (mottle + grit))
    }

    /// How much of the second colour shows in pattern coordinates, 0 to 1.
    fn share(&self, u: f32, v: f32) -> f32 {
        let (cu, cv) = (floor(u), floor(v));
        let (fu, fv) = (u - cu as f32, v - cv as f32);
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        match self.pattern {
            Pattern::Plain => 0.0,
            Pattern::Checker => flag((cu ^ cv) & 1 == 1),
            Pattern::Stripes => flag(fu < 0.5),
            Pattern::Bricks => bricks(u, v, self.seed),
            Pattern::Planks => {
                if fu < 0.06 {
                    1.0
                } else {
                    0.5 * lattice(cu, 0, self.seed)
                }
            }
            Pattern::Dots => flag((fu - 0.5) * (fu - 0.5) + (fv - 0.5) * (fv - 0.5) < 0.1),
            Pattern::Marble => {
                let wave = u + 3.0 * noise(u * 0.7, v * 0.25, self.seed);
                (2.0 * (wave - floor(wave) as f32) - 1.0).abs()
            }
            Pattern::Speckle => saturate(3.0 * noise(u, v, self.seed) - 1.0),
        }
    }
}

/// Courses of bricks half as high as wide: each of its own shade, mortar in the second colour.
fn bricks(u: f32, v: f32, seed: u32) -> f32 {
    let course = floor(2.0 * v);
    let shifted = u + 0.5 * (course & 1) as f32;
    let brick = floor(shifted);
    let (fu, fv) = (shifted - brick as f32, 2.0 * v - course as f32);
    if fu < 0.07 || fv < 0.14 { 1.0 } else { 0.45 * lattice(brick, course, seed) }
}

/// The two coordinates across the axis that the surface faces most.
fn flatten(p: Vec3, n: Vec3) -> (f32, f32) {
    let (x, y, z) = (n.x.abs(), n.y.abs(), n.z.abs());
    if y >= x && y >= z {
        (p.x, p.z)
    } else if x >= z {
        (p.z, p.y)
    } else {
        (p.x, p.y)
    }
}

/// Smooth noise between 0 and 1 with one knot per unit square.
pub(crate) fn noise(u: f32, v: f32, seed: u32) -> f32 {
    let (cu, cv) = (floor(u), floor(v));
    let ease = |f: f32| f * f * (3.0 - 2.0 * f);
    let (fu, fv) = (ease(u - cu as f32), ease(v - cv as f32));
    let low = lattice(cu, cv, seed) + (lattice(cu + 1, cv, seed) - lattice(cu, cv, seed)) * fu;
    let (a, b) = (lattice(cu, cv + 1, seed), lattice(cu + 1, cv + 1, seed));
    low + (a + (b - a) * fu - low) * fv
}

fn lattice(u: i32, v: i32, seed: u32) -> f32 {
    (hash(u as u32, v as u32, seed) >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Three numbers to 32 well mixed bits.
pub(crate) fn hash(u: u32, v: u32, seed: u32) -> u32 {
    let mut h = u.wrapping_mul(0x9e37_79b1) ^ v.wrapping_mul(0x85eb_ca77) ^ seed;
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    h ^ (h >> 15)
}
