//! What can be checked of a recipe without data.

use super::config::Recipe;
use super::{
    balancer, beside_text, compose, distil, extend, numbers, per_task, problems, replay,
    shared_decoder, stage,
};
use crate::{Error, Result};

impl Recipe {
    /// Checks what can be checked without data.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self, origin: &str) -> Result<()> {
        let wrong = |key: &str, reason: String| {
            Err(Error::Recipe { origin: origin.into(), key: key.into(), reason })
        };
        let positive = [
            ("train.steps", self.train.steps),
            ("train.eval_every", self.train.eval_every),
            ("train.save_every", self.train.save_every),
            ("train.save_total_limit", self.train.save_total_limit as u64),
            ("train.max_skipped", self.train.max_skipped),
            ("train.accumulate", self.train.accumulate as u64),
            ("data.batch_size", self.data.batch_size as u64),
        ];
        let zeros = positive.iter().filter(|(_, value)| *value == 0);
        let zeros =
            zeros.map(|(key, _)| ((*key).to_owned(), "expected at least 1, found 0".into()));
        problems::refuse(origin, zeros.chain(numbers::wrong(self)))?;
        if self.tasks.is_empty() {
            return wrong("tasks", "expected at least one task, found none".into());
        }
        let bad = |weight: f64| !weight.is_finite() || weight < 0.0;
        if let Some((name, task)) = self.tasks.iter().find(|(_, task)| bad(task.weight)) {
            let reason = format!("expected a finite factor of at least 0, found {}", task.weight);
            return wrong(&format!("tasks.{name}.weight"), reason);
        }
        let sides = self.data.img_size;
        let coarse = |ratio: usize| ratio == 0 || sides.iter().any(|&side| side < ratio);
        let ratios = self.tasks.iter().map(|(name, task)| (name, task.downsample_label_ratio));
        let mut ratios = ratios.filter_map(|(name, ratio)| Some((name, ratio?)));
        if let Some((name, ratio)) = ratios.find(|(_, ratio)| coarse(*ratio)) {
            let reason = format!("expected 1 to the sides of an image {sides:?}, found {ratio}");
            return wrong(&format!("tasks.{name}.downsample_label_ratio"), reason);
        }
        for (key, sources) in [("data.train", &self.data.train), ("data.eval", &self.data.eval)] {
            if sources.is_empty() {
                return wrong(key, "expected at least one data set, found none".into());
            }
        }
        let accumulate = self.train.accumulate;
        if accumulate > 1 && (balancer::balances(self) || self.union.is_some()) {
            let reason = "expected 1 beside a balancer, conflict_every, adatask or a union, which \
                          need the losses of a whole batch at once";
            return wrong("train.accumulate", format!("{reason}, found {accumulate}"));
        }
        if accumulate > self.data.batch_size {
            let most = self.data.batch_size;
            let reason = format!("expected at most data.batch_size {most}, found {accumulate}");
            return wrong("train.accumulate", reason);
        }
        balancer::validate(self, origin)?;
        per_task::validate(self, origin)?;
        shared_decoder::validate(self, origin)?;
        extend::validate(self, origin)?;
        compose::validate(self, origin)?;
        distil::validate(self, origin)?;
        replay::validate(self, origin)?;
        stage::validate(self, origin)?;
        beside_text::validate(self, origin)?;
        self.train
            .schedule
            .validate(self.train.steps)
            .or_else(|e| wrong("train.schedule", e.to_string()))
    }
}
