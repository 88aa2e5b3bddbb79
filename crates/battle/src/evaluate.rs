//! How often a team wins, whoever acts for it.

use polyptych_tensor::no_grad;
use rand::Rng;
use rand_pcg::Pcg64;

use crate::battle::{Battle, Outcome};
use crate::config::BattleConfig;
use crate::entities::Seen;
use crate::error::{Result, config};
use crate::learner::choose;
use crate::policy::Policy;
use crate::units::NOTHING;

/// Who acts for the first team.
#[derive(Debug, Clone, Copy)]
pub enum Player<'a> {
    /// A policy, by its best actions.
    Policy(&'a Policy),
    /// The rule of the other team.
    Rule,
    /// Chance, among what may be done.
    Chance,
}

/// The part of `count` battles under `rules` that `player` wins; the battles are the same for all.
///
/// # Errors
/// No battle, or rules out of range.
pub fn win_rate(player: Player, rules: BattleConfig, count: usize) -> Result<f64> {
    if count == 0 {
        return Err(config("battles", "at least 1", 0));
    }
    let battles = (0..count as u64).map(|seed| Battle::new(rules, seed));
    let mut battles = battles.collect::<Result<Vec<_>>>()?;
    let mut rng = Pcg64::new(0, 3);
    while battles.iter().any(|battle| battle.outcome().is_none()) {
        let actions = actions(player, &battles, &mut rng);
        for (battle, actions) in battles.iter_mut().zip(&actions) {
            battle.step(actions);
        }
    }
    let won = battles.iter().filter(|battle| battle.outcome() == Some(Outcome::Won)).count();
    Ok(won as f64 / count as f64)
}

/// One for each unit of every battle's first team.
fn actions(player: Player, battles: &[Battle], rng: &mut Pcg64) -> Vec<Vec<usize>> {
    let each = |of: &mut dyn FnMut(&Battle, usize) -> usize| {
        let team = |battle: &Battle, of: &mut dyn FnMut(&Battle, usize) -> usize| {
            (0..battle.allies().len()).map(|unit| of(battle, unit)).collect()
        };
        battles.iter().map(|battle| team(battle, of)).collect()
    };
    match player {
        Player::Rule => each(&mut |battle, unit| battle.rule(0, unit)),
        Player::Chance => each(&mut |battle, unit| {
            let may = battle.available(0, unit);
            let drawn = rng.random_range(0..may.len());
            let from = (drawn..may.len()).chain(0..drawn);
            from.into_iter().find(|&action| may[action]).unwrap_or(NOTHING)
        }),
        Player::Policy(policy) => {
            let rules = battles[0].config();
            let seen: Vec<Seen> = battles.iter().map(Seen::of).collect();
            let batch = Seen::batch(seen.iter(), [rules.allies, rules.enemies]);
            let best = no_grad(|| choose(policy, batch, rules.enemies as i64));
            best.chunks(rules.allies).map(<[usize]>::to_vec).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_beats_chance_and_many_beat_few() {
        let rules = BattleConfig::of_size(2);
        let rate = |player, rules| win_rate(player, rules, 40).unwrap();
        assert!(rate(Player::Rule, rules) > rate(Player::Chance, rules) + 0.1);
        assert!(rate(Player::Rule, BattleConfig { allies: 4, ..rules }) > 0.8);
        assert_eq!(rate(Player::Rule, rules), rate(Player::Rule, rules));
    }

    #[test]
    fn what_cannot_be_played_is_named() {
        let message = |rules, count| win_rate(Player::Rule, rules, count).unwrap_err().to_string();
        assert_eq!(
            message(BattleConfig::of_size(0), 1),
            "allies: expected from 1 to 16 units, found 0"
        );
        assert_eq!(message(BattleConfig::of_size(1), 0), "battles: expected at least 1, found 0");
    }
}
