//! A recipe whose model is measured on other data.

use std::path::Path;

use serde_json::{Value, json};

use super::config::Recipe;
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
        let wrong = |reason: &str| Error::Recipe {
            origin: self.name.clone(),
            key: "data.eval".into(),
            reason: reason.into(),
        };
        let source = match &self.data.eval[..] {
            [source] if source.location_fields().contains(&"manifest") => source,
            _ => {
                return Err(wrong(
                    "expected one folder of data, whose manifest, root and split can be \
                     replaced, found several or a built-in set: mend recipe.toml of the run",
                ));
            }
        };
        let mut fields = source.to_value();
        if new_manifest.is_some() {
            fields["root"] = Value::Null;
        }
        let new = [
            ("manifest", new_manifest.map(|path| json!(path))),
            ("root", new_root.map(|path| json!(path))),
            ("split", new_split.map(|name| json!(name))),
        ];
        new.into_iter().for_each(|(key, new)| fields[key] = new.unwrap_or(fields[key].take()));
        fields["dataset"] = json!(source.name());
        self.data.eval = vec![serde_json::from_value(fields).map_err(|e| wrong(&e.to_string()))?];
        Ok(self)
    }
}
