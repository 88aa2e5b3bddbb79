//! The four domains: their names, their classes and who builds their figures.

use super::{aircraft, birds, cars, flowers, stage::Subject};
use crate::scenes::rng::Stream;

/// A family of classes that differ by details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Domain {
    Birds,
    Cars,
    Aircraft,
    Flowers,
}

impl Domain {
    pub(super) const ALL: [Domain; 4] =
        [Domain::Birds, Domain::Cars, Domain::Aircraft, Domain::Flowers];

    /// Names in the order of [`Domain::ALL`].
    pub(super) const NAMES: [&str; 4] = ["birds", "cars", "aircraft", "flowers"];

    pub(super) fn name(self) -> &'static str {
        Domain::NAMES[self as usize]
    }

    /// Set apart the streams of the domains, and those of the scenes of the same seed.
    pub(super) fn salt(self) -> u64 {
        [0x6269_7264_735f_0001, 0x6361_7273_5f5f_0002, 0x706c_616e_6573_0003, 0x666c_6f77_7273_0004]
            [self as usize]
    }

    /// Names of the classes in the order of their indices.
    pub(super) fn classes(self) -> Vec<&'static str> {
        match self {
            Domain::Birds => birds::CLASSES.iter().map(|class| class.name).collect(),
            Domain::Cars => cars::CLASSES.iter().map(|class| class.name).collect(),
            Domain::Aircraft => aircraft::CLASSES.iter().map(|class| class.name).collect(),
            Domain::Flowers => flowers::CLASSES.iter().map(|class| class.name).collect(),
        }
    }

    /// A figure of class `class`, which must be below the number of classes, in a pose that
    /// varies by `variety`.
    pub(super) fn subject(self, rng: &mut Stream, class: usize, variety: f32) -> Subject {
        match self {
            Domain::Birds => birds::subject(rng, &birds::CLASSES[class], variety),
            Domain::Cars => cars::subject(rng, &cars::CLASSES[class], variety),
            Domain::Aircraft => aircraft::subject(rng, &aircraft::CLASSES[class], variety),
            Domain::Flowers => flowers::subject(rng, &flowers::CLASSES[class], variety),
        }
    }
}
