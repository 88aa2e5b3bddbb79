//! What happened, to learn from again.

use std::rc::Rc;

use polyptych_tensor::Tensor;
use rand::Rng;
use rand_pcg::Pcg64;

use crate::entities::{FEATURES, Seen};

/// One step of one battle, and what came of it in some more.
#[derive(Debug, Clone)]
pub(crate) struct Transition {
    pub(crate) seen: Rc<Seen>,
    /// One for each unit.
    pub(crate) actions: Vec<usize>,
    /// Of all these steps, discounted.
    pub(crate) reward: f64,
    /// What was seen behind the last of them.
    pub(crate) next: Rc<Seen>,
    /// What the value of that counts: 0 where the battle ended.
    pub(crate) discount: f64,
}

/// Steps of battles of one size as tensors; units of one battle follow each other.
#[derive(Debug)]
pub(crate) struct Sample {
    /// `[battles * units, entities, FEATURES]` and `[battles * units, actions]`, before and behind.
    pub(crate) seen: (Tensor, Tensor),
    pub(crate) next: (Tensor, Tensor),
    /// `[battles * units, 1]`.
    pub(crate) actions: Tensor,
    /// `[battles]`.
    pub(crate) rewards: Tensor,
    /// `[battles]`: what the value of what was seen next counts.
    pub(crate) discounts: Tensor,
}

/// The newest steps of battles of one size.
#[derive(Debug)]
pub(crate) struct Replay {
    size: [usize; 2],
    capacity: usize,
    steps: Vec<Transition>,
    /// Where the next one goes.
    place: usize,
}

impl Replay {
    pub(crate) fn new(size: [usize; 2], capacity: usize) -> Self {
        Self { size, capacity, steps: Vec::new(), place: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Keeps a step; the oldest goes where there is no room.
    pub(crate) fn push(&mut self, step: Transition) {
        match self.steps.get_mut(self.place) {
            Some(oldest) => *oldest = step,
            None => self.steps.push(step),
        }
        self.place = (self.place + 1) % self.capacity;
    }

    /// Draws `count` steps, one as likely as the other.
    pub(crate) fn sample(&self, count: usize, rng: &mut Pcg64) -> Sample {
        let drawn: Vec<&Transition> =
            (0..count).map(|_| &self.steps[rng.random_range(0..self.steps.len())]).collect();
        let number = |of: &dyn Fn(&Transition) -> f32| {
            Tensor::from_slice(&drawn.iter().map(|step| of(step)).collect::<Vec<_>>())
        };
        let actions: Vec<i64> =
            drawn.iter().flat_map(|step| step.actions.iter().map(|&a| a as i64)).collect();
        Sample {
            seen: Seen::batch(drawn.iter().map(|step| step.seen.as_ref()), self.size),
            next: Seen::batch(drawn.iter().map(|step| step.next.as_ref()), self.size),
            actions: Tensor::from_slice(&actions).unsqueeze(1),
            rewards: number(&|step| step.reward as f32),
            discounts: number(&|step| step.discount as f32),
        }
    }
}

impl Sample {
    /// Battles in it.
    pub(crate) fn battles(&self) -> i64 {
        self.rewards.size()[0]
    }

    /// `tokens` as `[battles, units, entities, FEATURES]`.
    pub(crate) fn by_battle(&self, tokens: &Tensor) -> Tensor {
        let entities = tokens.size()[1];
        tokens.view([self.battles(), -1, entities, FEATURES as i64])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battle::Battle;
    use crate::config::BattleConfig;
    use rand::SeedableRng;

    #[test]
    fn the_oldest_steps_go_first_and_samples_have_their_shapes() {
        let battle = Battle::new(BattleConfig::of_size(2), 0).unwrap();
        let seen = Rc::new(Seen::of(&battle));
        let mut replay = Replay::new([2, 2], 3);
        for step in 0..5 {
            let (seen, next) = (seen.clone(), seen.clone());
            let (actions, reward) = (vec![1, step], step as f64);
            replay.push(Transition { seen, actions, reward, next, discount: 0.9 });
        }
        assert_eq!(replay.len(), 3);
        let mut rewards: Vec<f64> = replay.steps.iter().map(|step| step.reward).collect();
        rewards.sort_by(f64::total_cmp);
        assert_eq!(rewards, [2.0, 3.0, 4.0]);
        let sample = replay.sample(7, &mut Pcg64::seed_from_u64(0));
        assert_eq!(sample.seen.0.size(), [14, 4, 7]);
        assert_eq!(sample.next.1.size(), [14, 8]);
        assert_eq!((sample.actions.size(), sample.battles()), (vec![14, 1], 7));
        assert_eq!(sample.by_battle(&sample.seen.0).size(), [7, 2, 4, 7]);
    }
}
