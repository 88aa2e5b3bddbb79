//! Training by value decomposition: double deep Q-learning of the team's value.
//!
//! ```text
//! y = sum_k gamma^k r_k + gamma^n Q'(s_n, argmax_a q(s_n, a)),   loss = mean (Q(s, a) - y)^2
//! ```
//!
//! `q` are values of single units, `Q` what the mixer makes of those of their actions, and `Q'` the
//! same of networks that follow every so many updates. Rewards are those of `n` steps, or up to the end.

use std::collections::VecDeque;
use std::rc::Rc;

use polyptych_tensor::optim::{AdamW, AdamWConfig, Optimiser, clip_grad_norm, decay_groups};
use polyptych_tensor::{Kind, Tensor, manual_seed, no_grad};
use rand::Rng;
use rand_pcg::Pcg64;

use crate::battle::{Battle, Outcome};
use crate::config::BattleConfig;
use crate::entities::Seen;
use crate::error::Result;
use crate::networks::Networks;
use crate::place::{Place, Step};
use crate::policy::Policy;
use crate::replay::{Replay, Sample};
use crate::settings::LearnerConfig;
use crate::units::NOTHING;

/// Trains a policy; `progress` hears of every update and of the part of battles won since.
///
/// # Errors
/// As [`LearnerConfig::validate`].
pub fn train(
    settings: &LearnerConfig,
    mut progress: impl FnMut(usize, Option<f64>),
) -> Result<Policy> {
    settings.validate()?;
    let mut learner = Learner::new(settings)?;
    for update in 0..settings.updates {
        learner.play(update)?;
        learner.learn(update)?;
        progress(update + 1, learner.share_won());
    }
    Ok(learner.own.policy)
}

struct Learner<'a> {
    settings: &'a LearnerConfig,
    own: Networks,
    target: Networks,
    optimiser: AdamW,
    /// By size.
    places: Vec<Vec<Place>>,
    replays: Vec<Replay>,
    rng: Pcg64,
    /// Battles begun so far.
    begun: u64,
    ended: Vec<bool>,
}

impl<'a> Learner<'a> {
    fn new(settings: &'a LearnerConfig) -> Result<Self> {
        manual_seed(settings.seed as i64);
        let (own, target) = (Networks::new(settings)?, Networks::new(settings)?);
        own.store.set_trainable(|_| true);
        target.store.set_trainable(|_| false);
        target.follow(&own);
        let adam = AdamWConfig { betas: [0.9, 0.999], eps: 1e-8 };
        let optimiser = AdamW::new(adam, decay_groups(own.store.trainable(), 0.0));
        let replay = |&size: &usize| Replay::new([size, size], settings.capacity);
        let replays = settings.sizes.iter().map(replay).collect();
        let rng = Pcg64::new(u128::from(settings.seed), 2);
        let (places, ended) = (Vec::new(), Vec::new());
        let mut learner =
            Self { settings, own, target, optimiser, places, replays, rng, begun: 0, ended };
        for &size in &settings.sizes {
            let places = (0..settings.battles).map(|_| learner.begin(size));
            let places = places.collect::<Result<_>>()?;
            learner.places.push(places);
        }
        Ok(learner)
    }

    fn begin(&mut self, size: usize) -> Result<Place> {
        self.begun += 1;
        // Far from the battles of evaluations and of other seeds.
        let seed = self.settings.seed.wrapping_add(1) << 32 | self.begun;
        let battle = Battle::new(BattleConfig::of_size(size), seed)?;
        let seen = Rc::new(Seen::of(&battle));
        Ok(Place { battle, seen, open: VecDeque::new() })
    }

    /// The size of which `update` is.
    fn turn(&self, update: usize) -> usize {
        update % self.settings.sizes.len()
    }

    /// How often an action is tried at random.
    fn epsilon(&self, update: usize) -> f64 {
        let all = (self.settings.explore * self.settings.updates as f64).max(1.0);
        (1.0 - update as f64 / all).max(0.05)
    }

    /// One step of every battle of one size.
    fn play(&mut self, update: usize) -> Result<()> {
        let (turn, epsilon) = (self.turn(update), self.epsilon(update));
        let size = self.settings.sizes[turn];
        let greedy = {
            let seen = self.places[turn].iter().map(|place| place.seen.as_ref());
            choose(&self.own.policy, Seen::batch(seen, [size, size]), size as i64)
        };
        for (index, greedy) in greedy.chunks(size).enumerate() {
            let place = &self.places[turn][index];
            let actions: Vec<usize> = greedy
                .iter()
                .enumerate()
                .map(|(unit, &action)| match self.rng.random::<f64>() < epsilon {
                    true => any_of(&place.battle.available(0, unit), &mut self.rng),
                    false => action,
                })
                .collect();
            self.advance(turn, index, actions)?;
        }
        Ok(())
    }

    fn advance(&mut self, turn: usize, index: usize, actions: Vec<usize>) -> Result<()> {
        let place = &mut self.places[turn][index];
        let LearnerConfig { discount, steps, reward_scale, .. } = *self.settings;
        let reward = place.battle.step(&actions) * reward_scale;
        let next = Rc::new(Seen::of(&place.battle));
        let seen = std::mem::replace(&mut place.seen, next.clone());
        place.open.push_back(Step { seen, actions, reward });
        let outcome = place.battle.outcome();
        let ended = outcome.is_some();
        while !place.open.is_empty() && (ended || place.open.len() == steps) {
            if let Some(step) = place.close(&next, discount, ended) {
                self.replays[turn].push(step);
            }
        }
        if let Some(outcome) = outcome {
            self.ended.push(outcome == Outcome::Won);
            self.places[turn][index] = self.begin(self.settings.sizes[turn])?;
        }
        Ok(())
    }

    /// The part of the last 200 battles that was won, once there are as many.
    fn share_won(&self) -> Option<f64> {
        let last = &self.ended[self.ended.len().checked_sub(200)?..];
        Some(last.iter().filter(|won| **won).count() as f64 / last.len() as f64)
    }

    fn learn(&mut self, update: usize) -> Result<()> {
        let turn = self.turn(update);
        if self.replays[turn].len() < self.settings.batch {
            return Ok(());
        }
        let sample = self.replays[turn].sample(self.settings.batch, &mut self.rng);
        self.own.store.zero_grad();
        let enemies = self.settings.sizes[turn] as i64;
        self.loss(&sample, enemies).backward();
        let _ = clip_grad_norm(&self.own.store.trainable(), 10.0);
        self.optimiser.step(self.settings.lr)?;
        if (update + 1).is_multiple_of(self.settings.follow_every) {
            self.target.follow(&self.own);
        }
        Ok(())
    }

    fn loss(&self, sample: &Sample, enemies: i64) -> Tensor {
        let target = no_grad(|| self.target(sample, enemies));
        let values = self.own.policy.forward(&sample.seen.0, enemies);
        let chosen = values.gather(1, &sample.actions, false).view([sample.battles(), -1]);
        let tokens = sample.by_battle(&sample.seen.0);
        let team = self.own.mixer.forward(&chosen, &tokens, enemies);
        (team - target).square().mean(Kind::Float)
    }

    /// `y`, `[battles]`.
    fn target(&self, sample: &Sample, enemies: i64) -> Tensor {
        let (tokens, available) = &sample.next;
        let best = masked(&self.own.policy.forward(tokens, enemies), available).argmax(1, true);
        let values = self.target.policy.forward(tokens, enemies).gather(1, &best, false);
        let values = values.view([sample.battles(), -1]);
        let team = self.target.mixer.forward(&values, &sample.by_battle(tokens), enemies);
        &sample.rewards + team * &sample.discounts
    }
}

/// `values` far below all others where an action may not be taken.
fn masked(values: &Tensor, available: &Tensor) -> Tensor {
    values + (available - 1.0) * 1e9
}

fn any_of(available: &[bool], rng: &mut Pcg64) -> usize {
    let count = available.iter().filter(|may| **may).count();
    let drawn = rng.random_range(0..count.max(1));
    let may = available.iter().enumerate().filter(|(_, may)| **may);
    may.map(|(action, _)| action).nth(drawn).unwrap_or(NOTHING)
}

/// The best action of every unit that saw `seen`.
pub(crate) fn choose(policy: &Policy, seen: (Tensor, Tensor), enemies: i64) -> Vec<usize> {
    let (tokens, available) = seen;
    let best = no_grad(|| masked(&policy.forward(&tokens, enemies), &available).argmax(1, false));
    let actions = Vec::<i64>::try_from(best.to_kind(Kind::Int64)).unwrap_or_default();
    actions.into_iter().map(|action| action as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mixer::MixerKind;
    use crate::policy::PolicyConfig;
    use crate::testing::alone;

    fn small() -> LearnerConfig {
        let policy = PolicyConfig { emb: 8, heads: 1, depth: 1 };
        LearnerConfig { policy, updates: 12, battles: 4, batch: 8, ..LearnerConfig::default() }
    }

    fn values(policy: &Policy) -> Vec<f32> {
        let battle = Battle::new(BattleConfig::of_size(5), 3).unwrap();
        let seen = Seen::of(&battle);
        let (tokens, _) = Seen::batch([&seen].into_iter(), [5, 5]);
        let values = no_grad(|| policy.forward(&tokens, 5)).contiguous();
        Vec::try_from(values.view([-1])).unwrap()
    }

    #[test]
    fn equal_seeds_train_equal_policies_and_mixers_of_any_size() {
        let _drawing = alone();
        for mixer in [MixerKind::Vdn, MixerKind::Qmix] {
            let settings = LearnerConfig { mixer, sizes: vec![1, 3], ..small() };
            let trained = || values(&train(&settings, |_, _| ()).unwrap());
            let (first, second) = (trained(), trained());
            assert!(first.iter().all(|value| value.is_finite()));
            assert_eq!(first, second);
            let other = LearnerConfig { seed: 1, ..settings };
            assert_ne!(first, values(&train(&other, |_, _| ()).unwrap()));
        }
    }

    #[test]
    fn any_number_is_a_seed() {
        let _drawing = alone();
        let settings = LearnerConfig { seed: u64::MAX, ..small() };
        assert!(train(&settings, |_, _| ()).is_ok());
    }

    /// A step that ends is worth its reward; one that goes on, that and what the target's networks say.
    #[test]
    fn targets_are_those_of_the_equation() {
        let _drawing = alone();
        let settings = small();
        let mut learner = Learner::new(&settings).unwrap();
        for update in 0..5 {
            learner.play(update).unwrap();
        }
        let sample = learner.replays[0].sample(6, &mut Pcg64::new(0, 0));
        // Three steps are open at a time.
        assert_eq!(learner.replays[0].len(), 4 * 3);
        assert!((&sample.discounts - 0.95f64.powi(3)).abs().max().double_value(&[]) < 1e-6);
        let ended = Sample { discounts: sample.discounts.zeros_like(), ..sample };
        assert!(learner.target(&ended, 3).equal(&ended.rewards));
        let goes_on = Sample { discounts: ended.discounts.ones_like() * 0.95, ..ended };
        let (tokens, available) = &goes_on.next;
        let best = masked(&learner.own.policy.forward(tokens, 3), available)
            .amax([1i64].as_slice(), false);
        // The networks of targets are equal at the start.
        let alive = tokens.select(1, 0).select(-1, 6);
        let team =
            (best * alive).view([6, 3]).sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
        let expected = &goes_on.rewards + team * 0.95;
        assert!((learner.target(&goes_on, 3) - expected).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let _drawing = alone();
        let message = |settings: LearnerConfig| {
            train(&settings, |_, _| ()).err().map(|e| e.to_string()).unwrap_or_default()
        };
        for (settings, expected) in [
            (
                LearnerConfig { sizes: vec![], ..small() },
                "sizes: expected at least one size of team, found none",
            ),
            (
                LearnerConfig { sizes: vec![3, 0], ..small() },
                "allies: expected from 1 to 16 units, found 0",
            ),
            (LearnerConfig { batch: 0, ..small() }, "batch: expected at least 1, found 0"),
            (
                LearnerConfig { batch: 49, ..small() },
                "batch: expected at most 48 steps, which is what is remembered of a size in the end \
                 (capacity, or battles * updates by the number of sizes), or nothing is learned, \
                 found 49",
            ),
            (
                LearnerConfig { batch: 8, capacity: 7, ..small() },
                "batch: expected at most 7 steps, which is what is remembered of a size in the end \
                 (capacity, or battles * updates by the number of sizes), or nothing is learned, \
                 found 8",
            ),
            (LearnerConfig { lr: 0.0, ..small() }, "lr: expected a positive number, found 0"),
            (LearnerConfig { discount: 2.0, ..small() }, "discount: expected from 0 to 1, found 2"),
        ] {
            assert_eq!(message(settings), expected);
        }
    }
}
