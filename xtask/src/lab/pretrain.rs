//! `cargo xtask pretrain`: the training of a backbone that the repository ships.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use super::train;
use crate::command::Subcommand;

/// Make a backbone again that the repository ships
#[derive(Parser)]
#[command(name = "pretrain")]
pub(crate) struct Pretrain {
    /// Recipe of the backbone
    #[arg(default_value = "pretrain-swin")]
    pub(crate) recipe: String,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Passed on to `polyptych train`
    #[arg(last = true)]
    pub(crate) extra: Vec<String>,
}

impl Subcommand for Pretrain {
    fn run(flags: &Self) -> Result<ExitCode> {
        train::hand_over(&flags.recipe, &flags.extra, flags.dry_run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_backbone_is_the_default() {
        let flags = Pretrain::try_parse_from(["pretrain", "--dry-run"]).unwrap();
        let recipe = super::super::recipe::file(&flags.recipe);
        assert!(recipe.is_file(), "{}", recipe.display());
    }
}
