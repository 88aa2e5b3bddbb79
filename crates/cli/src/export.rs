//! `polyptych export`: a model in the formats of others.

use anyhow::Result;
use polyptych_engine::{OpenRun, export};

use crate::flags::ExportFlags;
use crate::output::{note, say};

pub(crate) fn run(flags: &ExportFlags) -> Result<()> {
    let run = OpenRun::open(&flags.run, flags.best, Some("cpu"))?;
    let report = export(&run, flags.format.into(), &flags.out, flags.probe.as_deref())?;
    for (output, difference) in &report.differences {
        say!("{output}: largest difference {difference} over {} images", report.probe_images);
    }
    report.notes.iter().for_each(|note| note!("{note}"));
    for file in &report.files {
        say!("{}", file.display());
    }
    Ok(())
}
