//! One thing of a captioned scene.

/// One thing, by its places in the tables of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) kind: usize,
    pub(super) colour: usize,
    pub(super) place: usize,
    /// Whether it stands nearest.
    pub(super) near: bool,
    /// Of its build and pose, which no other thing changes.
    pub(super) seed: u32,
}
