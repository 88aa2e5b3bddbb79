//! `polyptych report`: one HTML page of a run, or of several side by side.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use polyptych_engine::{ReportOptions, report};

use crate::flags::ReportFlags;
use crate::output::{note, say};

pub(crate) fn run(flags: &ReportFlags) -> Result<()> {
    let options = ReportOptions { samples: flags.samples, device: flags.device.clone() };
    let page = report(&flags.runs, &options)?;
    page.notes.iter().for_each(|line| note!("{line}"));
    let out = flags.out.clone().unwrap_or_else(|| default_place(&flags.runs));
    std::fs::write(&out, page.html).with_context(|| out.display().to_string())?;
    say!("{}", out.display());
    if flags.open {
        open::that(&out).with_context(|| format!("{}: no program opens it", out.display()))?;
    }
    Ok(())
}

/// In the folder of a single run; here for several.
fn default_place(runs: &[PathBuf]) -> PathBuf {
    match runs {
        [only] => only.join("report.html"),
        _ => Path::new("report.html").into(),
    }
}
