//! The section of a comparison's page that tells how settings were chosen.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::choice::{Choice, Round, Scored};
use super::settings::Settings;
use super::trial::Tried;
use crate::lab::reproduce::plan::Chosen;
use crate::lab::reproduce::table::{escaped, table};

/// The file beside a table, as [`super::Share::write`] writes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Tuning {
    command: String,
    settings: Settings,
    sizes: Vec<usize>,
    budget_steps: u64,
    choices: Vec<Choice>,
}

impl Tuning {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// A file that is not there or not of this kind.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let named = || format!("{}: expected the choices of --tune", path.display());
        let text = std::fs::read(path).with_context(named)?;
        serde_json::from_slice(&text).with_context(named)
    }

    /// All trials.
    pub(super) fn tried(self) -> Vec<Tried> {
        let rounds = self.choices.into_iter().flat_map(|choice| choice.rounds);
        rounds.flat_map(|round| round.candidates).map(|scored| scored.tried).collect()
    }

    /// What was chosen, with the titles of the rows.
    pub(crate) fn chosen(&self) -> Vec<(String, Chosen)> {
        let chosen =
            |choice: &Choice| Chosen { task: choice.task.clone(), sets: choice.chosen.clone() };
        self.choices.iter().map(|choice| (choice.name.clone(), chosen(choice))).collect()
    }
}

/// How settings were chosen: the rule, and every value that was tried with its score.
pub(in crate::lab::reproduce) fn section(tuning: &Tuning) -> String {
    let mut lines = vec![head(&tuning.settings)];
    lines.extend(tuning.choices.iter().map(line));
    format!("## How settings were chosen\n\n{}\n\n{}", rule(tuning), table(&lines))
}

fn rule(tuning: &Tuning) -> String {
    let settings = &tuning.settings;
    let rounds = tuning.sizes.iter().zip(&settings.steps);
    let rounds: Vec<String> = rounds.map(|(size, steps)| format!("{size} for {steps}")).collect();
    let last = settings.seed + settings.steps.len() as u64 - 1;
    format!(
        "By `{}`, with successive halving: candidates are trained {} steps, each round from the \
         start and the best of it in the next. Every row was given {} steps for this, for each \
         of its models. Seeds {} to {last} and the scenes or samples of `tune` stand in no \
         result. The number behind a candidate is its mean relative change against the round's \
         medians over tasks, in percent; numbers of different rows do not compare. The best of \
         the last round is bold, and underlined where it is the lowest or the highest rate \
         tried.",
        tuning.command,
        rounds.join(", "),
        tuning.budget_steps,
        settings.seed,
    )
}

fn head(settings: &Settings) -> Vec<String> {
    let rounds = settings.steps.iter().map(|steps| format!("{steps} steps"));
    ["method", "chosen"].into_iter().map(str::to_owned).chain(rounds).collect()
}

fn line(choice: &Choice) -> Vec<String> {
    let task = choice.task.as_ref().map(|task| format!(", {task}")).unwrap_or_default();
    let name = format!("{}{task}", escaped(&choice.name));
    let chosen = format!("**{}**", shown(&choice.chosen));
    let chosen = if choice.at_an_end { format!("<u>{chosen}</u>") } else { chosen };
    [name, chosen].into_iter().chain(choice.rounds.iter().map(cell)).collect()
}

fn cell(round: &Round) -> String {
    round.candidates.iter().map(candidate).collect::<Vec<_>>().join("; ")
}

fn candidate(scored: &Scored) -> String {
    let sets = shown(&scored.tried.sets);
    match (scored.score, &scored.tried.failed) {
        (Some(score), _) => format!("{sets}: {score:+.1}"),
        (None, Some(_)) => format!("{sets}: failed"),
        (None, None) => format!("{sets}: –"),
    }
}

/// `train.lr=0.002` as `0.002`, other fields with the last word of their key.
fn shown(sets: &[String]) -> String {
    let word = |set: &String| {
        let (key, value) = set.split_once('=').unwrap_or(("", set));
        match key {
            "train.lr" => value.to_owned(),
            _ => format!("{} {value}", key.rsplit('.').next().unwrap_or(key)),
        }
    };
    sets.iter().map(word).collect::<Vec<_>>().join(", ")
}
