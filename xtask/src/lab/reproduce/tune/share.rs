//! Trials, one after the other, as long as some are missing that no other process has.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::choice::{self, Choice, Progress};
use super::page::Tuning;
use super::place::Place;
use super::settings::Settings;
use super::trial::{Trial, Tried};
use crate::lab::page;
use crate::lab::reproduce::flags::Reproduce;
use crate::lab::reproduce::plan::Plan;
use crate::lab::reproduce::record::State;
use crate::lab::reproduce::trainer::{Ended, Trainer, wait_for_children};

/// How often a process without work looks for some.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What one process does of the tuning of a recipe.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    plan: &'a Plan,
    settings: &'a Settings,
    places: Vec<Place>,
    /// Trials in the file of choices, whose folders may be on another machine.
    elsewhere: Vec<Tried>,
    trainer: Trainer<'a>,
}

enum Next {
    Claimed(Trial, File),
    OthersAreAtIt,
    Nothing,
}

impl<'a> Share<'a> {
    /// The choices that `flags` ask for.
    ///
    /// # Errors
    /// A recipe without `[tune]`; rows that it does not have; a file of choices that is none.
    pub(crate) fn new(plan: &'a Plan, flags: &Reproduce, trainer: Trainer<'a>) -> Result<Self> {
        let settings = plan.tune.as_ref();
        let settings =
            settings.with_context(|| format!("{}: tune: expected a table", plan.name))?;
        let places = Place::all(plan, &plan.chosen(&flags.rows)?);
        let file = choice::file(&flags.out, &plan.name);
        let elsewhere = if file.exists() { Tuning::read(&file)?.tried() } else { Vec::new() };
        Ok(Self { plan, settings, places, elsewhere, trainer })
    }

    /// Says how much there is to do.
    pub(crate) fn announce(&self) -> Result<()> {
        let progress = self.progress(&self.places)?;
        let made = progress.iter().filter(|p| matches!(p, Progress::Made(_))).count();
        eprintln!("{} choices, {made} of them made", self.places.len());
        eprintln!("{} steps for each model of a row", self.settings.budget());
        Ok(())
    }

    /// Prints the commands of the rounds that are open.
    pub(crate) fn show(&self) -> Result<()> {
        for progress in self.progress(&self.places)? {
            if let Progress::Open(trials) = progress {
                trials
                    .iter()
                    .for_each(|trial| println!("would run `{}`", self.trainer.shown(&trial.run)));
            }
        }
        Ok(())
    }

    /// Tries what is missing until all choices are made; false where it was asked to stop.
    pub(crate) fn carry_out(&self) -> Result<bool> {
        let stop = wait_for_children()?;
        while !stop.load(Ordering::Relaxed) {
            match self.next()? {
                Next::Nothing => return Ok(true),
                Next::OthersAreAtIt => std::thread::sleep(LOOK_EVERY),
                Next::Claimed(trial, _lock) => {
                    if !self.attempt(&trial)? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(false)
    }

    /// Writes all choices that are made, and returns the file's path.
    pub(crate) fn write(&self, flags: &Reproduce, command: &str) -> Result<PathBuf> {
        let all = Place::all(self.plan, &(0..self.plan.rows.len()).collect::<Vec<_>>());
        let mut choices: Vec<Choice> = Vec::new();
        for progress in self.progress(&all)? {
            if let Progress::Made(choice) = progress {
                choices.push(*choice);
            }
        }
        let data = json!({
            "recipe": self.plan.name,
            "command": command,
            "made_with": self.trainer.origin,
            "settings": self.settings,
            "sizes": self.settings.sizes(),
            "budget_steps": self.settings.budget(),
            "choices": choices,
        });
        let path = choice::file(&flags.out, &self.plan.name);
        page::write(&path, &format!("{data:#}\n"))?;
        Ok(path)
    }

    fn progress(&self, places: &[Place]) -> Result<Vec<Progress>> {
        let of = |place| Progress::of(self.plan, self.settings, place, &self.elsewhere);
        places.iter().map(of).collect()
    }

    fn next(&self) -> Result<Next> {
        let mut waits = false;
        for progress in self.progress(&self.places)? {
            let Progress::Open(trials) = progress else { continue };
            waits = true;
            for trial in trials {
                let Some(lock) = trial.claim()? else { continue };
                // Another process may have finished it between the look and the claim.
                if trial.tried(self.plan)?.is_none() {
                    return Ok(Next::Claimed(trial, lock));
                }
            }
        }
        Ok(if waits { Next::OthersAreAtIt } else { Next::Nothing })
    }

    /// Carries out a trial; false where it was asked to stop.
    fn attempt(&self, trial: &Trial) -> Result<bool> {
        eprintln!("trial {}", trial.run.folder.display());
        let state = State::of(self.plan, &trial.run)?;
        let ended = match state {
            State::Done => Ended::Done,
            _ => self.trainer.attempt(&trial.run, state)?,
        };
        match ended {
            Ended::Asked => return Ok(false),
            Ended::Done => trial.keep(None)?,
            // A rate at which numbers overflow is a result: it is tried no longer.
            Ended::Failed(status) => trial.keep(Some(status))?,
        }
        Ok(true)
    }
}
