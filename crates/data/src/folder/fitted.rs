//! Labels at the size of their images.

use super::entry::TaskEntry;
use super::picture::Frame;
use crate::check::Fault;
use crate::transforms::resized;
use crate::{Label, TaskSpec};

/// `label` at the size of its image, if it fits.
pub(super) fn fitted(
    entry: &TaskEntry,
    label: Label,
    task: &TaskSpec,
    frame: Option<&Frame>,
) -> std::result::Result<Label, Fault> {
    let size = frame.map_or_else(|| label.size(), |frame| frame.size);
    frame.map_or(Ok(()), |frame| frame.accept(label.size(), entry.resize))?;
    let label = match entry.resize && size != label.size() {
        true => resized(&label, size),
        false => label,
    };
    label.check(task, size)?;
    Ok(label)
}
