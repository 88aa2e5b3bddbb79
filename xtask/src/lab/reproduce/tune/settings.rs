//! `[tune]` of a recipe: what is tried, and for how many steps.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// Lowest seed of a trial: `--seeds` of a table goes up to it.
const FIRST_SEED: u64 = 1000;

/// Fields of a row besides the learning rate, and their values.
pub(crate) type Also = BTreeMap<String, Vec<Value>>;

/// The table `[tune]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Settings {
    /// Seed of the first round; a round later is one more.
    pub(crate) seed: u64,
    /// Learning rates.
    pub(crate) lr: Vec<f64>,
    /// Steps of each round.
    pub(crate) steps: Vec<u64>,
    /// Training data of trials.
    pub(crate) train: Vec<Value>,
    /// Evaluation data of trials.
    pub(crate) eval: Vec<Value>,
    /// What the recipe's own method chooses besides the rate.
    #[serde(default)]
    pub(crate) own: Also,
}

impl Settings {
    /// Those of a recipe, where it has some.
    ///
    /// # Errors
    /// No rate or no round, rounds that do not grow, a seed or evaluation data of the table.
    pub(crate) fn of(recipe: &Table) -> Result<Option<Self>> {
        let Some(value) = recipe.get("tune") else { return Ok(None) };
        let settings: Self = value.clone().try_into().context("tune")?;
        settings.check(recipe)?;
        Ok(Some(settings))
    }

    fn check(&self, recipe: &Table) -> Result<()> {
        if self.lr.is_empty() || self.steps.is_empty() {
            bail!("tune: expected a rate in lr and a number in steps, found none");
        }
        if self.steps.windows(2).any(|pair| pair[0] >= pair[1]) {
            bail!("tune.steps: expected numbers that grow, found {:?}", self.steps);
        }
        if self.seed < FIRST_SEED {
            bail!("tune.seed: expected {FIRST_SEED} or more, found {}", self.seed);
        }
        let reported = || recipe.get("data")?.get("eval")?.as_array();
        let reported = reported().map_or(&[][..], Vec::as_slice);
        match self.eval.iter().find(|source| reported.contains(source)) {
            Some(source) => {
                bail!("tune.eval: expected data that no result reports, found {source}")
            }
            None if self.eval.is_empty() => bail!("tune.eval: expected data, found none"),
            None => Ok(()),
        }
    }

    /// Candidates of a row that also chooses `also`: each rate once, with the values in turns.
    ///
    /// The number is that of the rates, whatever a row names, so that all rows try equally much.
    pub(crate) fn candidates(&self, also: &Also) -> Vec<Vec<String>> {
        let of = |(index, rate): (usize, &f64)| {
            let rate = format!("train.lr={rate}");
            let others = also.iter().enumerate().filter(|(_, (_, values))| !values.is_empty());
            let others = others.map(|(place, (key, values))| {
                // The shift keeps two fields with as many values from going hand in hand.
                let shift = place * (index / values.len());
                format!("{key}={}", values[(index + shift) % values.len()])
            });
            std::iter::once(rate).chain(others).collect()
        };
        self.lr.iter().enumerate().map(of).collect()
    }

    /// Number of candidates in each round: half of the round before, rounded up.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        let first = self.lr.len();
        let half = |size: &usize| Some(size.div_ceil(2));
        std::iter::successors(Some(first), half).take(self.steps.len()).collect()
    }

    /// Steps that a model of each row is given over all rounds.
    pub(crate) fn budget(&self) -> u64 {
        self.sizes().iter().zip(&self.steps).map(|(&size, steps)| size as u64 * steps).sum()
    }

    /// What trials of `round` set besides the candidate.
    pub(crate) fn sets(&self, round: usize) -> Vec<String> {
        let list = |sources: &[Value]| Value::Array(sources.to_vec());
        let steps = self.steps[round];
        let mut sets = vec![format!("train.steps={steps}"), format!("train.eval_every={steps}")];
        if !self.train.is_empty() {
            sets.push(format!("data.train={}", list(&self.train)));
        }
        sets.push(format!("data.eval={}", list(&self.eval)));
        sets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[[data.eval]]
seed = 1
[tune]
seed = 1000
lr = [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2]
steps = [10, 20, 40]
train = []
eval = [{ seed = 2 }]
"#;

    fn settings(text: &str) -> Result<Settings> {
        Settings::of(&text.parse()?)?.context("tune")
    }

    #[test]
    fn every_row_has_the_same_number_of_steps() {
        let settings = settings(TEXT).unwrap();
        assert_eq!(settings.sizes(), [5, 3, 2]);
        assert_eq!(settings.budget(), 5 * 10 + 3 * 20 + 2 * 40);
        let also: Also = toml::from_str("\"a.f\" = [1, 2]\n\"a.g\" = [\"x\", \"y\"]").unwrap();
        let candidates = settings.candidates(&also);
        let others: Vec<String> = candidates.iter().map(|sets| sets[1..].join(" ")).collect();
        let [same, other] = ["a.f=1 a.g=\"x\"", "a.f=2 a.g=\"y\""];
        let [third, fourth] = ["a.f=1 a.g=\"y\"", "a.f=2 a.g=\"x\""];
        assert_eq!(others, [same, other, third, fourth, same]);
        assert_eq!(candidates[1][0], "train.lr=0.002");
    }

    #[test]
    fn trials_see_other_data_than_the_table() {
        let sets = settings(TEXT).unwrap().sets(1);
        let steps = ["train.steps=20", "train.eval_every=20"];
        assert_eq!(sets[..2], steps);
        assert_eq!(sets[2], "data.eval=[{ seed = 2 }]");
        for (old, new, expected) in [
            ("seed = 2", "seed = 1", "found { seed = 1 }"),
            ("seed = 1000", "seed = 3", "found 3"),
            ("[10, 20, 40]", "[10, 10]", "found [10, 10]"),
            ("[{ seed = 2 }]", "[]", "found none"),
        ] {
            let message = settings(&TEXT.replace(old, new)).unwrap_err().to_string();
            assert!(message.ends_with(expected), "{message}");
        }
    }
}
