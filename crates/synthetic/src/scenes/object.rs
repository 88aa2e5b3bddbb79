//! The things that scenes hold, each built around its own foot.

mod furniture;
mod outdoor;
mod plain;

use super::{classes, figure, rng::Stream, thing::Thing};

/// Where a scene is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Room,
    Landscape,
}

/// A thing of class `class`, of the sizes that the setting has room for.
pub(crate) fn build(rng: &mut Stream, class: u8, setting: Setting) -> Thing {
    let outside = setting == Setting::Landscape;
    match class {
        classes::PERSON => figure::person(rng),
        classes::BOX => plain::carton(rng, outside),
        classes::BALL => plain::ball(rng),
        classes::COLUMN => plain::column(rng),
        classes::CONE => plain::cone(rng),
        classes::VASE => plain::vase(rng, outside),
        classes::TABLE => furniture::table(rng),
        classes::CHAIR => furniture::chair(rng),
        classes::LAMP => furniture::lamp(rng, outside),
        classes::TREE => outdoor::tree(rng, outside),
        classes::HOUSE => outdoor::house(rng),
        _ => outdoor::car(rng),
    }
}

/// Something small enough to stand on a table.
pub(crate) fn trinket(rng: &mut Stream) -> Thing {
    let class =
        rng.pick(&[classes::VASE, classes::VASE, classes::BALL, classes::BOX, classes::CONE]);
    let thing = build(rng, class, Setting::Room);
    let factor = rng.range(0.13, 0.24) / thing.radius();
    thing.scaled(factor)
}
