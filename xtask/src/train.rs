//! `cargo xtask train` and `pretrain`: build the `polyptych` binary and hand over to it.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::flags::{Pretrain, Train};
use crate::{libtorch, process, workspace};

/// Trains a recipe.
pub(crate) fn train(flags: &Train) -> Result<ExitCode> {
    hand_over(&flags.recipe, &flags.extra, flags.dry_run)
}

/// Makes a shipped backbone again.
pub(crate) fn pretrain(flags: &Pretrain) -> Result<ExitCode> {
    hand_over(&flags.recipe, &flags.extra, flags.dry_run)
}

fn hand_over(recipe: &str, extra: &[String], dry_run: bool) -> Result<ExitCode> {
    let mut command = command(recipe, extra);
    if dry_run {
        println!("would run `{}`", process::shown(&command));
        return Ok(ExitCode::SUCCESS);
    }
    libtorch::ensure()?;
    process::become_child(&mut command)
}

// The caller's folder stays the current one: recipes and images are named from there.
fn command(recipe: &str, extra: &[String]) -> Command {
    let mut command = Command::new(workspace::cargo());
    command.args(["run", "--release", "--package", "polyptych-cli", "--bin", "polyptych", "--"]);
    command.args(["train", recipe]).args(extra);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_and_extra_arguments_are_passed_on() {
        let shown = process::shown(&command("quickstart", &["--set".into(), "a.b = 1".into()]));
        assert!(shown.ends_with("--bin polyptych -- train quickstart --set 'a.b = 1'"), "{shown}");
    }
}
