//! How a policy learns, as numbers.

use crate::config::BattleConfig;
use crate::error::{Result, config};
use crate::mixer::MixerKind;
use crate::policy::PolicyConfig;

/// How a policy learns.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerConfig {
    /// The policy.
    pub policy: PolicyConfig,
    /// What joins the values of units.
    pub mixer: MixerKind,
    /// Sizes of the teams that it learns with, each against as many.
    pub sizes: Vec<usize>,
    /// Steps down the gradient; before each one every battle at hand goes one step on.
    pub updates: usize,
    /// Battles at hand.
    pub battles: usize,
    /// Steps of battles in an update.
    pub batch: usize,
    /// Steps of battles that are remembered of every size.
    pub capacity: usize,
    /// Learning rate of AdamW.
    pub lr: f64,
    /// `gamma`.
    pub discount: f64,
    /// `n`: steps whose rewards are summed.
    pub steps: usize,
    /// What rewards are multiplied by: they are small beside the first values of networks.
    pub reward_scale: f64,
    /// What part of the updates is done when hardly anything is tried at random any more.
    pub explore: f64,
    /// After how many updates the networks of targets follow.
    pub follow_every: usize,
    /// Seed of all that is drawn.
    pub seed: u64,
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            policy: PolicyConfig::default(),
            mixer: MixerKind::Vdn,
            sizes: vec![3],
            updates: 1500,
            battles: 16,
            batch: 64,
            capacity: 20_000,
            lr: 3e-4,
            discount: 0.95,
            steps: 3,
            reward_scale: 5.0,
            explore: 0.4,
            follow_every: 100,
            seed: 0,
        }
    }
}

impl LearnerConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// No size, a team of size 0 or too large for the grid, a number of 0, a rate out of its range, a
    /// batch of more steps than are ever remembered at once.
    pub fn validate(&self) -> Result<()> {
        if self.sizes.is_empty() {
            return Err(config("sizes", "at least one size of team", "none"));
        }
        self.sizes.iter().try_for_each(|&size| BattleConfig::of_size(size).validate())?;
        let counts = [
            ("updates", self.updates),
            ("battles", self.battles),
            ("batch", self.batch),
            ("capacity", self.capacity),
            ("steps", self.steps),
            ("follow_every", self.follow_every),
        ];
        if let Some((key, found)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(config(key, "at least 1", found));
        }
        let most = self.most_remembered();
        if self.batch > most {
            let expected = format!(
                "at most {most} steps, which is what is remembered of a size in the end (capacity, \
                 or battles * updates by the number of sizes), or nothing is learned"
            );
            return Err(config("batch", expected, self.batch));
        }
        for (key, value) in [("lr", self.lr), ("reward_scale", self.reward_scale)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(config(key, "a positive number", value));
            }
        }
        let parts = [("discount", self.discount), ("explore", self.explore)];
        match parts.into_iter().find(|(_, part)| !(0.0..=1.0).contains(part)) {
            Some((key, found)) => Err(config(key, "from 0 to 1", found)),
            None => Ok(()),
        }
    }

    /// Steps of one size that a memory can have in the last update, those of open rewards included.
    fn most_remembered(&self) -> usize {
        let turns = self.updates.div_ceil(self.sizes.len());
        self.capacity.min(self.battles.saturating_mul(turns))
    }
}
