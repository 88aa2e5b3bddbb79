//! The words of captions, and what they stand for.

use super::placed::Placed;
use crate::scenes::classes;
use crate::scenes::math::{Vec3, vec3};

/// Kinds of thing by their nouns.
pub(super) const KINDS: [(&str, u8); 8] = [
    ("box", classes::BOX),
    ("ball", classes::BALL),
    ("cone", classes::CONE),
    ("column", classes::COLUMN),
    ("vase", classes::VASE),
    ("table", classes::TABLE),
    ("chair", classes::CHAIR),
    ("car", classes::CAR),
];

/// Colours in linear RGB.
pub(super) const COLOURS: [(&str, Vec3); 8] = [
    ("red", vec3(0.75, 0.03, 0.03)),
    ("orange", vec3(0.85, 0.28, 0.02)),
    ("yellow", vec3(0.85, 0.7, 0.03)),
    ("green", vec3(0.03, 0.45, 0.05)),
    ("blue", vec3(0.03, 0.08, 0.7)),
    ("purple", vec3(0.3, 0.03, 0.45)),
    ("white", vec3(0.85, 0.85, 0.85)),
    ("black", vec3(0.015, 0.015, 0.015)),
];

/// Where a thing stands, from the left.
pub(super) const PLACES: [&str; 3] = ["on the left", "in the middle", "on the right"];

/// What the things stand on, in linear RGB.
pub(super) const GROUNDS: [(&str, Vec3); 3] = [
    ("grass", vec3(0.1, 0.22, 0.04)),
    ("sand", vec3(0.6, 0.42, 0.2)),
    ("stone", vec3(0.25, 0.25, 0.27)),
];

/// All words, each once.
pub(super) const VOCABULARY: [&str; 31] = [
    "a", "an", "and", "on", "in", "the", "left", "middle", "right", "red", "orange", "yellow",
    "green", "blue", "purple", "white", "black", "box", "ball", "cone", "column", "vase", "table",
    "chair", "car", "grass", "sand", "stone", "make", "without", "instead",
];

/// What is to be said of `things` on `ground`.
pub(super) fn caption(things: &[Placed], ground: usize) -> String {
    let one = |thing: &Placed| {
        let (colour, kind) = (COLOURS[thing.colour].0, KINDS[thing.kind].0);
        let article = if colour == "orange" { "an" } else { "a" };
        format!("{article} {colour} {kind} {}", PLACES[thing.place])
    };
    let all: Vec<String> = things.iter().map(one).collect();
    format!("{} on {}", all.join(" and "), GROUNDS[ground].0)
}
