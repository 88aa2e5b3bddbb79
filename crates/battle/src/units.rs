//! Units on a grid, and what they can do.

/// What a unit can do whoever is there: nothing, stay, and four moves.
pub const BASIC_ACTIONS: usize = 6;
/// What the dead do, and they alone.
pub const NOTHING: usize = 0;
/// What the living may always do.
pub const STAY: usize = 1;
/// The four moves, by the numbers of their actions from 2 on.
pub(crate) const MOVES: [[i32; 2]; 4] = [[0, -1], [0, 1], [-1, 0], [1, 0]];

/// A unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Column and row.
    pub at: [i32; 2],
    /// 0 for the dead.
    pub health: u32,
}

impl Unit {
    /// Whether it fights on.
    pub fn lives(&self) -> bool {
        self.health > 0
    }

    /// Steps along the grid to `other`.
    pub fn distance(&self, other: &Unit) -> u32 {
        self.at[0].abs_diff(other.at[0]) + self.at[1].abs_diff(other.at[1])
    }
}

/// The cell that a step leads to.
pub(crate) fn moved(at: [i32; 2], step: [i32; 2]) -> [i32; 2] {
    [at[0] + step[0], at[1] + step[1]]
}

/// Whether a living unit of either team stands there.
pub(crate) fn is_taken(teams: &[Vec<Unit>; 2], at: [i32; 2]) -> bool {
    teams.iter().flatten().any(|unit| unit.lives() && unit.at == at)
}
