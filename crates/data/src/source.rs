//! What a kind of data set says about itself.

use std::sync::Arc;

use polyptych_registry::DynPart;

use crate::{Dataset, Result, TaskSpec};

/// The settings of one kind of data set.
///
/// A recipe has them as `[[data.train]] dataset = "folder"`: the name is that of the
/// [`Part`](polyptych_registry::Part), the other fields are the part's own.
pub trait DataSource: DynPart {
    /// Opens the data set for tasks that are `wanted` by name: files of others need not be there.
    ///
    /// # Errors
    /// Settings out of range, files that cannot be read, no sample at all.
    fn open(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Arc<dyn Dataset>>;

    /// The tasks of the data set; what is known of them where it is not here.
    ///
    /// # Errors
    /// As [`DataSource::open`].
    fn described(&self) -> Result<Vec<TaskSpec>> {
        Ok(self.open(&|_| false)?.tasks().to_vec())
    }

    /// The fields that say where samples are, and not which they are: a run that goes on may have
    /// others. With `manifest` and `root` among them, and a field `split`, a model may be measured
    /// on another place, description or split by the options of `polyptych eval`.
    fn location_fields(&self) -> &'static [&'static str] {
        &[]
    }
}
