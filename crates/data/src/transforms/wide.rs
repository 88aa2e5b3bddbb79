//! Many numbers at once: loops in the form of the processor at hand, and the rounding they need.
//!
//! Casts saturate, which processors do one by one. Added to a power of two above which a float has
//! no fraction, a number is rounded to the nearest and its bits end with the whole number.

use std::sync::LazyLock;

use pulp::Arch;

/// What the processor can do.
static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// No float64 from here on has a fraction.
const WHOLE: f64 = (1_u64 << 52) as f64;
/// No float32 from here on has a fraction.
const WHOLE_32: f32 = (1_u32 << 23) as f32;

/// Runs loops with all that the processor has. `work` and what it calls are `inline(always)`, or they stay in the
/// form of the oldest processor; the numbers are the same to the last bit either way.
pub(crate) fn wide<R>(work: impl FnOnce() -> R) -> R {
    ARCH.dispatch(work)
}

/// The largest whole number that is not above `value`, 0 or more and below 2^51.
#[inline(always)]
pub(crate) fn floor(value: f64) -> f64 {
    let nearest = (value + WHOLE) - WHOLE;
    nearest - if nearest > value { 1.0 } else { 0.0 }
}

/// A whole number from 0 to 2^32 - 1; others give a number without meaning.
#[inline(always)]
pub(crate) fn index(value: f64) -> u32 {
    (value + WHOLE).to_bits() as u32
}

/// Rounded, halves up, and clamped: a cast alone would wrap or cut.
#[inline(always)]
pub(crate) fn byte(value: f32) -> u8 {
    let value = value.clamp(0.0, 255.0);
    let nearest = (value + WHOLE_32) - WHOLE_32;
    // Halves went to the even neighbour.
    let up = if value - nearest >= 0.5 { 1.0 } else { 0.0 };
    (nearest + up + WHOLE_32).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_the_library() {
        let below_half = f32::from_bits(0.5_f32.to_bits() - 1);
        let steps = (-40..2600).map(|k| k as f32 / 10.0).chain([below_half, 0.5, f32::NAN, 1e30]);
        for value in steps.chain((0..600).map(|k| k as f32 / 2.0)) {
            assert_eq!(byte(value), value.round().clamp(0.0, 255.0) as u8, "{value}");
        }
    }

    #[test]
    fn floors_and_indices_are_those_of_the_library() {
        let below = |value: f64| f64::from_bits(value.to_bits() - 1);
        let steps = (1..4000).map(|k| f64::from(k) * 0.37);
        let edges = [0.0, 0.5, 1.0, 1.5, 4_294_967_295.0].into_iter();
        let close = (1..70_000).map(f64::from).flat_map(|whole| [below(whole), whole]);
        for value in steps.chain(edges).chain(close) {
            assert_eq!(floor(value), value.floor());
            assert_eq!(index(floor(value)), value as u32, "{value}");
        }
    }
}
