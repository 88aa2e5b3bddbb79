//! `cargo xtask train`: build the `polyptych` binary and hand over to it.

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Parser;

use crate::command::Subcommand;
use crate::process;
use crate::setup::ensure;
use crate::workspace;

/// Build and train a recipe; the quickstart by default
#[derive(Parser)]
#[command(name = "train")]
pub(crate) struct Train {
    /// Name of a shipped recipe, or a TOML file
    #[arg(long, default_value = "quickstart", value_name = "NAME|PATH")]
    pub(crate) recipe: String,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Passed on to `polyptych train`
    #[arg(last = true)]
    pub(crate) extra: Vec<String>,
}

impl Subcommand for Train {
    fn run(flags: &Self) -> Result<ExitCode> {
        hand_over(&flags.recipe, &flags.extra, flags.dry_run)
    }
}

/// Turns into `polyptych train` of `recipe`.
pub(super) fn hand_over(recipe: &str, extra: &[String], dry_run: bool) -> Result<ExitCode> {
    let mut command = command(recipe, extra);
    if dry_run {
        println!("would run `{}`", process::shown(&command));
        return Ok(ExitCode::SUCCESS);
    }
    ensure::libtorch()?;
    process::become_child(&mut command)
}

// The caller's folder stays the current one: recipes and images are named from there.
fn command(recipe: &str, extra: &[String]) -> Command {
    let mut command = workspace::cargo_command();
    command.args(["run", "--release", "--package", "polyptych-cli", "--bin", "polyptych", "--"]);
    command.args(["train", recipe]).args(extra);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_behind_two_dashes_are_kept() {
        let flags = Train::try_parse_from(["train", "--", "--set", "a=1"]).unwrap();
        assert_eq!(flags.recipe, "quickstart");
        assert_eq!(flags.extra, ["--set", "a=1"]);
    }

    #[test]
    fn the_recipe_and_extra_arguments_are_passed_on() {
        let shown = process::shown(&command("quickstart", &["--set".into(), "a.b = 1".into()]));
        assert!(shown.ends_with("--bin polyptych -- train quickstart --set 'a.b = 1'"), "{shown}");
    }
}
