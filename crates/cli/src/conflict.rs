//! `polyptych conflict`: how much the tasks of a run disagree.

use anyhow::{Context, Result};
use polyptych_engine::{MeanConflict, heat_map};

use crate::flags::ConflictFlags;
use crate::output::say;

pub(crate) fn run(flags: &ConflictFlags) -> Result<()> {
    let mean = MeanConflict::of_run(&flags.run)?;
    heat_map(&mean).save(&flags.out).with_context(|| flags.out.display().to_string())?;
    say!("{}", flags.out.display());
    Ok(())
}
