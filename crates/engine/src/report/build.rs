//! From folders of runs to a page.

use std::path::{Path, PathBuf};

use polyptych_adapters::{Form, is_method_parameter};

use super::extremes::extremes;
use super::page::{Merging, Shown, page};
use super::stored::{StoredRun, name_apart};
use super::taken::Taken;
use crate::staged::folders;
use crate::{Error, OpenRun, ParameterSummary, Result};

/// What a page shows beside the files of its runs.
#[derive(Debug, Clone)]
pub struct ReportOptions {
    /// Samples of the evaluation data among which the worst and the best are looked for, at even
    /// distances; 0 shows none.
    pub samples: usize,
    /// Device instead of the recipe's.
    pub device: Option<String>,
}

/// A page.
#[derive(Debug)]
pub struct Report {
    /// The HTML file.
    pub html: String,
    /// What the page goes without, and why.
    pub notes: Vec<String>,
}

/// Writes one self-contained HTML page of one run or several side by side; the stages of a run are
/// runs beside it.
///
/// Models and evaluation data are read for samples and parameters; where they cannot be, the page
/// goes without and a note says so.
///
/// # Errors
/// No run, or a folder of one that cannot be read.
pub fn report(runs: &[PathBuf], options: &ReportOptions) -> Result<Report> {
    let all = runs.iter().map(|path| folders(path)).collect::<Result<Vec<_>>>()?.concat();
    let mut stored = all.iter().map(|path| StoredRun::open(path)).collect::<Result<Vec<_>>>()?;
    if stored.is_empty() {
        let reason = "expected the folder of a run, found none".into();
        return Err(Error::Run { path: PathBuf::new(), reason });
    }
    name_apart(&mut stored);
    let mut notes = Vec::new();
    let shown: Vec<Shown> = stored.into_iter().map(|run| shown(run, options, &mut notes)).collect();
    Ok(Report { html: page(&shown), notes })
}

fn shown(run: StoredRun, options: &ReportOptions, notes: &mut Vec<String>) -> Shown {
    let mut taken = None;
    let (parameters, merging, found) =
        match OpenRun::open(&run.path, false, options.device.as_deref()) {
            Ok(open) => {
                taken = Taken::of(&open.model);
                let found = match options.samples {
                    0 => Ok(Vec::new()),
                    limit => extremes(&open, limit),
                };
                (Some(ParameterSummary::of(&open.model)), merging(&open), found)
            }
            Err(e) => (ParameterSummary::of_recipe(&run.recipe).ok(), None, Err(e)),
        };
    let extremes = found.unwrap_or_else(|e| {
        notes.push(left_out(&run.path, &e));
        Vec::new()
    });
    Shown { run, parameters, merging, taken, extremes }
}

fn left_out(path: &Path, e: &Error) -> String {
    format!("{}: the report has no samples: {e}", path.display())
}

/// What merging makes of a trained model; nothing of one that is merged.
fn merging(run: &OpenRun) -> Option<Merging> {
    if run.form == Form::Merged {
        return None;
    }
    let before = run.model.store.tensors().iter().map(|(_, t)| t.numel() as i64).sum();
    let refused = run.model.unmergeable();
    let merged = run.model.merged();
    let (after, kept) = match (&refused, &merged) {
        (None, Ok(tensors)) => {
            let count = |own: bool| {
                let of = tensors.iter().filter(|(name, _)| !own || is_method_parameter(name));
                of.map(|(_, tensor)| tensor.numel() as i64).sum()
            };
            (count(false), count(true))
        }
        _ => (before, 0),
    };
    let refused = refused.or_else(|| merged.err().map(|e| e.to_string()));
    Some(Merging { before, after, kept, refused })
}
