//! A recipe whose model is measured on other data.

use std::path::Path;

use super::config::Recipe;
use super::source::SourceRecipe;
use crate::{Error, Result};

impl Recipe {
    /// The recipe with another place, description or split of the data that it is measured on; a
    /// value that is absent stays as it is.
    ///
    /// # Errors
    /// A recipe that is measured on several data sets, or on a built-in one.
    pub fn measured_on(
        mut self,
        new_manifest: Option<&Path>,
        new_root: Option<&Path>,
        new_split: Option<&str>,
    ) -> Result<Self> {
        if new_manifest.is_none() && new_root.is_none() && new_split.is_none() {
            return Ok(self);
        }
        let [SourceRecipe::Folder { manifest, root, split, .. }] = &mut self.data.eval[..] else {
            let reason = "expected one folder of data, whose manifest, root and split can be \
                          replaced, found several or a built-in set: mend recipe.toml of the run";
            let (origin, key) = (self.name, "data.eval".into());
            return Err(Error::Recipe { origin, key, reason: reason.into() });
        };
        if let Some(new) = new_manifest {
            *manifest = new.into();
            *root = None;
        }
        *root = new_root.map_or_else(|| root.take(), |new| Some(new.into()));
        if let Some(new) = new_split {
            new.clone_into(split);
        }
        Ok(self)
    }
}
