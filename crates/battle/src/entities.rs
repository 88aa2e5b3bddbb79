//! What a unit sees: one token for every unit, itself first, then its team, then the other.

use polyptych_tensor::{Device, Tensor};

use crate::battle::Battle;
use crate::units::{BASIC_ACTIONS, Unit};

/// Numbers of a token: whether it is the unit itself, one of its team, one of the other; where it is
/// from the unit, as parts of the grid's side; its health as a part of all; whether it lives.
pub const FEATURES: usize = 7;

/// What all units of the first team see in several battles of one size, as numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// `[units, entities, FEATURES]`; the dead are zeros.
    pub(crate) tokens: Vec<f32>,
    /// `[units, actions]`: 1 for what may be done.
    pub(crate) available: Vec<f32>,
}

impl Seen {
    /// What the units of `battle` see.
    pub fn of(battle: &Battle) -> Self {
        let mut seen = Self::default();
        for index in 0..battle.allies().len() {
            seen.tokens.extend(tokens(battle, index));
            let may = battle.available(0, index);
            seen.available.extend(may.into_iter().map(|may| if may { 1.0 } else { 0.0 }));
        }
        seen
    }

    /// Those of several battles behind each other: `[units, entities, FEATURES]` and
    /// `[units, actions]` on the CPU. All have teams of the sizes of `battle`'s.
    pub(crate) fn batch<'a>(
        all: impl Iterator<Item = &'a Seen>,
        [allies, enemies]: [usize; 2],
    ) -> (Tensor, Tensor) {
        let (mut tokens, mut available) = (Vec::new(), Vec::new());
        for seen in all {
            tokens.extend_from_slice(&seen.tokens);
            available.extend_from_slice(&seen.available);
        }
        let entities = [-1, (allies + enemies) as i64, FEATURES as i64];
        let actions = [-1, (BASIC_ACTIONS + enemies) as i64];
        let tensor = |values: &[f32], shape: &[i64]| {
            Tensor::from_slice(values).to_device(Device::Cpu).view(shape)
        };
        (tensor(&tokens, &entities), tensor(&available, &actions))
    }
}

fn tokens(battle: &Battle, index: usize) -> Vec<f32> {
    let own = battle.allies()[index];
    let others = battle.allies().iter().enumerate().filter(|(other, _)| *other != index);
    let others = others.map(|(_, unit)| (1, unit));
    let all = [(0, &own)].into_iter().chain(others);
    let all = all.chain(battle.enemies().iter().map(|unit| (2, unit)));
    all.flat_map(|(role, unit)| token(battle, &own, role, unit)).collect()
}

fn token(battle: &Battle, own: &Unit, role: usize, unit: &Unit) -> [f32; FEATURES] {
    let mut token = [0.0; FEATURES];
    if unit.lives() {
        let side = battle.config().side as f32;
        token[role] = 1.0;
        token[3] = (unit.at[0] - own.at[0]) as f32 / side;
        token[4] = (unit.at[1] - own.at[1]) as f32 / side;
        token[5] = unit.health as f32 / battle.config().health as f32;
        token[6] = 1.0;
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BattleConfig;

    #[test]
    fn every_unit_is_a_token_from_where_one_stands() {
        let config = BattleConfig { allies: 2, enemies: 1, ..BattleConfig::of_size(1) };
        let mut battle = Battle::new(config, 0).unwrap();
        battle.teams[0][0] = Unit { at: [1, 2], health: 4 };
        battle.teams[0][1] = Unit { at: [3, 2], health: 2 };
        battle.teams[1][0] = Unit { at: [3, 6], health: 0 };
        let seen = Seen::of(&battle);
        let (tokens, available) = Seen::batch([&seen].into_iter(), [2, 1]);
        assert_eq!((tokens.size(), available.size()), (vec![2, 3, 7], vec![2, 7]));
        let rows = |unit: usize, entity: usize| {
            let start = (unit * 3 + entity) * FEATURES;
            seen.tokens[start..start + FEATURES].to_vec()
        };
        assert_eq!(rows(0, 0), [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(rows(0, 1), [0.0, 1.0, 0.0, 0.25, 0.0, 0.5, 1.0]);
        assert_eq!(rows(0, 2), [0.0; FEATURES]);
        assert_eq!(rows(1, 1), [0.0, 1.0, 0.0, -0.25, 0.0, 1.0, 1.0]);
    }
}
