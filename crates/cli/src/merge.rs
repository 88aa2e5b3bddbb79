//! `polyptych merge`: a plain transformer and what has to stay per task.

use anyhow::Result;
use polyptych_engine::{OpenRun, merge};

use crate::flags::MergeFlags;
use crate::output::say;

pub(crate) fn run(flags: &MergeFlags) -> Result<()> {
    let run = OpenRun::open(&flags.run, flags.best, None)?;
    let out = flags.out.clone().unwrap_or_else(|| flags.run.join("merged"));
    let report = merge(&run, &out, flags.half)?;
    for (task, difference) in &report.differences {
        say!("{task}: largest difference {difference} over {} images", report.probe_images);
    }
    for (task, difference) in &report.in_own_precision {
        let precision = run.recipe.precision;
        say!("{task}: in {precision}, which rounds both models, {difference}");
    }
    say!("{} tensors folded, {} stay per task", report.merged, report.kept.len());
    say!("{}", out.display());
    Ok(())
}
