//! `polyptych replay`: the step that ended a run, once more.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use polyptych_engine::{Number, StepDump, Trainer};

use crate::command::Subcommand;
use crate::output::say;

/// Repeat the step that ended a run because its numbers were not finite
#[derive(Debug, Parser)]
#[command(name = "replay", after_help = "Examples:\n  polyptych replay runs/quickstart")]
pub(crate) struct Replay {
    /// Folder of the run
    run: PathBuf,
}

impl Subcommand for Replay {
    fn run(flags: &Self) -> Result<ExitCode> {
        let (met, recorded) = Trainer::replay(&flags.run)?;
        show(&met);
        let differences = met.differences(&recorded);
        if !differences.is_empty() {
            bail!("the repeated step differs from the recorded one: {}", differences.join(", "));
        }
        say!("the repeated step equals the recorded one");
        Ok(ExitCode::SUCCESS)
    }
}

fn show(dump: &StepDump) {
    say!("step {}", dump.step);
    for (index, name) in &dump.samples {
        say!("sample    {index:>8}  {name}");
    }
    let numbers =
        |kind: &str, name: &str, Number(value): &Number| say!("{kind:<9} {value:>12.4e}  {name}");
    dump.losses.iter().for_each(|(name, value)| numbers("loss", name, value));
    dump.grad_norms.iter().for_each(|(name, value)| numbers("gradient", name, value));
}
