//! What is to change in an image, and what it shows then.

use super::scene::Shown;
use super::words::{COLOURS, GROUNDS, KINDS};
use crate::scenes::rng::Stream;

/// A colour, a thing less where there are several, or another ground; all else stays.
pub(super) fn change(rng: &mut Stream, shown: &Shown) -> (String, Shown) {
    let mut changed = shown.clone();
    let index = rng.below(shown.things.len());
    let kind = KINDS[shown.things[index].kind].0;
    let text = match rng.below(4) {
        0 => {
            changed.ground = another(rng, shown.ground, GROUNDS.len());
            format!("on {} instead", GROUNDS[changed.ground].0)
        }
        1 if shown.things.len() > 1 => {
            changed.things.remove(index);
            format!("without the {kind}")
        }
        _ => {
            let colour = another(rng, shown.things[index].colour, COLOURS.len());
            changed.things[index].colour = colour;
            format!("make the {kind} {}", COLOURS[colour].0)
        }
    };
    (text, changed)
}

/// Any of `count` but `old`.
fn another(rng: &mut Stream, old: usize, count: usize) -> usize {
    (old + 1 + rng.below(count - 1)) % count
}
