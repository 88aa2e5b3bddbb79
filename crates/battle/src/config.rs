//! The rules of a battle, as numbers.

use crate::error::{Result, config};

/// The rules of a battle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BattleConfig {
    /// Units of the team that learns.
    pub allies: usize,
    /// Units of the other team.
    pub enemies: usize,
    /// Cells along a side of the grid.
    pub side: usize,
    /// Health of a unit at the start.
    pub health: u32,
    /// How far an attack goes, in steps along the grid.
    pub range: u32,
    /// Steps after which a battle ends undecided.
    pub max_steps: usize,
    /// How often a unit of the other team acts at random, from 0 to 1.
    pub slips: f64,
}

impl BattleConfig {
    /// A battle of `size` against as many.
    pub fn of_size(size: usize) -> Self {
        let (allies, enemies) = (size, size);
        Self { allies, enemies, side: 8, health: 4, range: 2, max_steps: 25, slips: 0.2 }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// A team without units or with more than two columns hold, a grid too small to part the teams,
    /// units without health, weapons that do not go as far as the next cell, a battle without steps.
    pub fn validate(&self) -> Result<()> {
        if self.side < 4 {
            return Err(config("side", "at least 4 cells, so that teams stand apart", self.side));
        }
        let room = 2 * self.side;
        for (key, size) in [("allies", self.allies), ("enemies", self.enemies)] {
            if size == 0 || size > room {
                return Err(config(key, format!("from 1 to {room} units"), size));
            }
        }
        let least = [("health", self.health), ("range", self.range)];
        if let Some((key, found)) = least.into_iter().find(|(_, value)| *value == 0) {
            return Err(config(key, "at least 1", found));
        }
        if self.max_steps == 0 {
            return Err(config("max_steps", "at least 1", 0));
        }
        match (0.0..=1.0).contains(&self.slips) {
            true => Ok(()),
            false => Err(config("slips", "from 0 to 1", self.slips)),
        }
    }
}
