//! Models that are made of stages.

use std::path::Path;

use crate::error::io;
use crate::run::MERGE;
use crate::{OpenRun, PruneReport, Result, merge, prune};

/// Merges the run in `folder` to `out`, unless that is done; what a cut has left there goes.
pub(super) fn merged(folder: &Path, out: &Path) -> Result<()> {
    if is_whole(out)? {
        return Ok(());
    }
    merge(&OpenRun::open(folder, false, None)?, out, false).map(drop)
}

/// As [`merged`], pruned too.
pub(super) fn pruned(folder: &Path, out: &Path) -> Result<Option<PruneReport>> {
    if is_whole(out)? {
        return Ok(None);
    }
    let run = OpenRun::open(folder, false, None)?;
    prune(&run, out, PruneReport::IMAGES, PruneReport::PASSES).map(Some)
}

/// Whether `out` is a merged model; nothing is left of what is none.
fn is_whole(out: &Path) -> Result<bool> {
    if out.join(MERGE).exists() {
        return Ok(true);
    }
    remove(out)?;
    Ok(false)
}

/// Removes the model in `out`, if there is one; a cut leaves none that is taken for whole.
pub(super) fn remove(out: &Path) -> Result<()> {
    let mark = out.join(MERGE);
    if mark.exists() {
        std::fs::remove_file(&mark).map_err(io(&mark))?;
    }
    if out.exists() {
        std::fs::remove_dir_all(out).map_err(io(out))?;
    }
    Ok(())
}
