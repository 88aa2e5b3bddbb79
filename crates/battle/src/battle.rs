//! A battle of two teams on a grid.
//!
//! Units stand on cells of a square grid, one on each, the teams on opposite sides. In a step every living
//! unit stays, moves to a cell beside it, or attacks a living unit of the other team in range of
//! its weapon. Attacks come first and at the same time, each takes 1 from the health of its target;
//! then those that live move, one after the other, unless a cell is taken. The first team acts by
//! the actions given, the second by a fixed rule: it attacks the nearest, or walks there.
//!
//! The reward of a step is the health that the other team lost, as a part of all that it began with,
//! and 1 more for the win. A battle is won once the other team is gone and one of the first team lives.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use crate::config::BattleConfig;
use crate::error::Result;
use crate::rule::rule;
use crate::units::{BASIC_ACTIONS, MOVES, NOTHING, STAY, Unit, is_taken, moved};

/// How a battle ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The other team is gone.
    Won,
    /// The first team is gone, or time is over.
    NotWon,
}

/// A battle that goes on or has ended.
#[derive(Debug, Clone)]
pub struct Battle {
    config: BattleConfig,
    /// The team that learns, and the other.
    pub(crate) teams: [Vec<Unit>; 2],
    steps: usize,
    rng: Pcg64,
}

impl Battle {
    /// Begins the battle `seed`: units stand at random in the two outermost columns of their side.
    ///
    /// # Errors
    /// As [`BattleConfig::validate`].
    pub fn new(config: BattleConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        let mut rng = Pcg64::new(u128::from(seed), 1);
        let last = config.side as i32 - 1;
        let mut team = |size: usize, columns: [i32; 2]| {
            let rows = 0..config.side as i32;
            let mut cells: Vec<[i32; 2]> =
                columns.iter().flat_map(|&x| rows.clone().map(move |y| [x, y])).collect();
            cells.shuffle(&mut rng);
            let unit = |at: [i32; 2]| Unit { at, health: config.health };
            cells.into_iter().take(size).map(unit).collect::<Vec<_>>()
        };
        let teams = [team(config.allies, [0, 1]), team(config.enemies, [last, last - 1])];
        Ok(Self { config, teams, steps: 0, rng })
    }

    /// The rules.
    pub fn config(&self) -> &BattleConfig {
        &self.config
    }

    /// The team that learns.
    pub fn allies(&self) -> &[Unit] {
        &self.teams[0]
    }

    /// The other team.
    pub fn enemies(&self) -> &[Unit] {
        &self.teams[1]
    }

    /// How it ended; nothing while it goes on.
    pub fn outcome(&self) -> Option<Outcome> {
        let gone = |team: usize| !self.teams[team].iter().any(Unit::lives);
        match (gone(0), gone(1)) {
            (false, true) => Some(Outcome::Won),
            (true, _) => Some(Outcome::NotWon),
            _ if self.steps >= self.config.max_steps => Some(Outcome::NotWon),
            _ => None,
        }
    }

    /// What unit `index` of `team` does by the fixed rule of the other team.
    pub fn rule(&self, team: usize, index: usize) -> usize {
        rule(&self.teams, team, index, self.config.range)
    }

    /// Which actions unit `index` of `team` may take: the basic ones, then an attack on each of the
    /// other team.
    pub fn available(&self, team: usize, index: usize) -> Vec<bool> {
        let (own, others) = (&self.teams[team][index], &self.teams[1 - team]);
        let mut all = vec![false; BASIC_ACTIONS + others.len()];
        if !own.lives() {
            all[NOTHING] = true;
            return all;
        }
        all[STAY] = true;
        for (action, step) in MOVES.iter().enumerate() {
            all[2 + action] = self.is_inside(moved(own.at, *step));
        }
        for (enemy, other) in others.iter().enumerate() {
            all[BASIC_ACTIONS + enemy] = other.lives() && own.distance(other) <= self.config.range;
        }
        all
    }

    /// One step by `actions`, one for each unit of the first team; the reward. What a unit may not
    /// do it does not, and after the end nothing happens.
    pub fn step(&mut self, actions: &[usize]) -> f64 {
        if self.outcome().is_some() {
            return 0.0;
        }
        let answers: Vec<usize> = (0..self.teams[1].len()).map(|unit| self.answer(unit)).collect();
        let lost = self.attack([actions, &answers]);
        self.walk([actions, &answers]);
        self.steps += 1;
        let all = (self.config.health as usize * self.config.enemies) as f64;
        let won = self.outcome() == Some(Outcome::Won);
        f64::from(lost) / all + if won { 1.0 } else { 0.0 }
    }

    /// What a unit of the other team does.
    fn answer(&mut self, unit: usize) -> usize {
        let all = self.available(1, unit);
        let slips = self.rng.random::<f64>() < self.config.slips;
        let drawn = self.rng.random_range(0..all.len());
        match slips && all[drawn] {
            true => drawn,
            false => self.rule(1, unit),
        }
    }

    /// The health that the second team lost.
    fn attack(&mut self, actions: [&[usize]; 2]) -> u32 {
        let mut hits = [vec![0; self.teams[0].len()], vec![0; self.teams[1].len()]];
        for (team, actions) in actions.into_iter().enumerate() {
            for (unit, &action) in actions.iter().take(self.teams[team].len()).enumerate() {
                let may = self.available(team, unit);
                if action >= BASIC_ACTIONS && may.get(action) == Some(&true) {
                    hits[1 - team][action - BASIC_ACTIONS] += 1;
                }
            }
        }
        let mut lost = [0, 0];
        for (team, hits) in hits.iter().enumerate() {
            for (unit, hits) in self.teams[team].iter_mut().zip(hits) {
                let taken = unit.health.min(*hits);
                unit.health -= taken;
                lost[team] += taken;
            }
        }
        lost[1]
    }

    fn walk(&mut self, actions: [&[usize]; 2]) {
        for (team, actions) in actions.into_iter().enumerate() {
            for (unit, &action) in actions.iter().take(self.teams[team].len()).enumerate() {
                let step = action.checked_sub(2).and_then(|step| MOVES.get(step));
                let Some(step) = step.filter(|_| self.teams[team][unit].lives()) else { continue };
                let to = moved(self.teams[team][unit].at, *step);
                if self.is_inside(to) && !is_taken(&self.teams, to) {
                    self.teams[team][unit].at = to;
                }
            }
        }
    }

    fn is_inside(&self, at: [i32; 2]) -> bool {
        at.iter().all(|place| (0..self.config.side as i32).contains(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_of(allies: usize, enemies: usize) -> BattleConfig {
        BattleConfig { allies, enemies, slips: 0.0, ..BattleConfig::of_size(1) }
    }

    fn at(team: &mut [Unit], places: &[[i32; 2]]) {
        team.iter_mut().zip(places).for_each(|(unit, at)| unit.at = *at);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let message = |config: BattleConfig| Battle::new(config, 0).unwrap_err().to_string();
        let one = BattleConfig::of_size(1);
        for (config, expected) in [
            (BattleConfig::of_size(0), "allies: expected from 1 to 16 units, found 0"),
            (BattleConfig { enemies: 17, ..one }, "enemies: expected from 1 to 16 units, found 17"),
            (
                BattleConfig { side: 3, ..one },
                "side: expected at least 4 cells, so that teams stand apart, found 3",
            ),
            (BattleConfig { health: 0, ..one }, "health: expected at least 1, found 0"),
            (BattleConfig { range: 0, ..one }, "range: expected at least 1, found 0"),
            (BattleConfig { max_steps: 0, ..one }, "max_steps: expected at least 1, found 0"),
            (BattleConfig { slips: 1.5, ..one }, "slips: expected from 0 to 1, found 1.5"),
        ] {
            assert_eq!(message(config), expected);
        }
    }

    #[test]
    fn equal_seeds_are_equal_battles() {
        let play = |seed| {
            let mut battle = Battle::new(BattleConfig::of_size(3), seed).unwrap();
            let mut rewards = Vec::new();
            while battle.outcome().is_none() {
                let actions: Vec<usize> = (0..3).map(|unit| battle.rule(0, unit)).collect();
                rewards.push(battle.step(&actions));
            }
            (rewards, battle.teams)
        };
        assert_eq!(play(7), play(7));
        assert_ne!(play(7).1, play(8).1);
    }

    /// Two against one: both attack, the enemy answers, and the third step wins.
    #[test]
    fn attacks_are_at_the_same_time_and_the_win_is_rewarded() {
        let mut battle = Battle::new(config_of(2, 1), 0).unwrap();
        at(&mut battle.teams[0], &[[3, 3], [4, 4]]);
        at(&mut battle.teams[1], &[[4, 3]]);
        let attack = [BASIC_ACTIONS, BASIC_ACTIONS];
        assert_eq!(battle.step(&attack), 0.5);
        // The nearest of equals with the lowest index is attacked.
        assert_eq!(battle.allies().iter().map(|u| u.health).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(battle.step(&attack), 0.5 + 1.0);
        assert_eq!(battle.outcome(), Some(Outcome::Won));
        assert_eq!(battle.step(&attack), 0.0);
    }

    #[test]
    fn units_may_do_what_the_rules_allow() {
        let mut battle = Battle::new(config_of(2, 2), 0).unwrap();
        at(&mut battle.teams[0], &[[0, 0], [0, 1]]);
        at(&mut battle.teams[1], &[[1, 1], [7, 7]]);
        let may = battle.available(0, 0);
        assert_eq!(may, [false, true, false, true, false, true, true, false]);
        battle.teams[0][1].health = 0;
        assert_eq!(battle.available(0, 1), [true, false, false, false, false, false, false, false]);
        // A cell that is taken, a cell outside, and an attack out of range change nothing.
        battle.teams[0][1].health = 4;
        for action in [3, 2, BASIC_ACTIONS + 1, 99] {
            let before = battle.allies()[0].at;
            battle.step(&[action, STAY]);
            assert_eq!(battle.allies()[0].at, before);
            assert_eq!(battle.enemies()[1].health, 4);
        }
    }

    #[test]
    fn time_ends_a_battle() {
        let config = BattleConfig { max_steps: 2, ..config_of(1, 1) };
        let mut battle = Battle::new(config, 0).unwrap();
        battle.step(&[STAY]);
        assert_eq!(battle.outcome(), None);
        battle.step(&[STAY]);
        assert_eq!(battle.outcome(), Some(Outcome::NotWon));
    }
}
