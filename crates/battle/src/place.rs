//! A battle at hand, and its steps whose rewards are not complete.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::battle::Battle;
use crate::entities::Seen;
use crate::replay::Transition;

/// A battle at hand.
pub(crate) struct Place {
    pub(crate) battle: Battle,
    pub(crate) seen: Rc<Seen>,
    /// The newest steps, whose rewards are not complete, the oldest first.
    pub(crate) open: VecDeque<Step>,
}

/// What was seen, what units did, and the reward.
pub(crate) struct Step {
    pub(crate) seen: Rc<Seen>,
    pub(crate) actions: Vec<usize>,
    pub(crate) reward: f64,
}

impl Place {
    /// The oldest open step with the rewards of all that are open; `next` is seen behind them.
    pub(crate) fn close(
        &mut self,
        next: &Rc<Seen>,
        discount: f64,
        ended: bool,
    ) -> Option<Transition> {
        let powers = (0..).map(|k| discount.powi(k));
        let reward = self.open.iter().zip(powers).map(|(step, power)| step.reward * power).sum();
        let last = if ended { 0.0 } else { discount.powi(self.open.len() as i32) };
        let Step { seen, actions, .. } = self.open.pop_front()?;
        Some(Transition { seen, actions, reward, next: next.clone(), discount: last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BattleConfig;

    /// Rewards of open steps are discounted to the oldest one.
    #[test]
    fn rewards_of_several_steps_are_summed() {
        let battle = Battle::new(BattleConfig::of_size(1), 0).unwrap();
        let seen = Rc::new(Seen::of(&battle));
        let step = |reward: f64| Step { seen: seen.clone(), actions: vec![1], reward };
        let open = [1.0, 10.0, 100.0].map(step).into();
        let mut place = Place { battle, seen: seen.clone(), open };
        let found = place.close(&seen, 0.5, false).unwrap();
        assert_eq!((found.reward, found.discount), (1.0 + 5.0 + 25.0, 0.125));
        let found = place.close(&seen, 0.5, true).unwrap();
        assert_eq!((found.reward, found.discount), (10.0 + 50.0, 0.0));
        assert_eq!(place.close(&seen, 0.5, true).map(|step| step.reward), Some(100.0));
        assert!(place.close(&seen, 0.5, true).is_none());
    }
}
