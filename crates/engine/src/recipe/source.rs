//! The kinds of data set that a recipe may name.

use polyptych_data::{DataSource, FolderConfig};
use polyptych_registry::parts;
use polyptych_synthetic::{CaptionedScenesConfig, FineGrainedConfig, ScenesConfig};

parts! {
    /// One data set of a recipe: `[[data.train]] dataset = "folder"` and the fields of its kind.
    pub struct SourceRecipe(dyn DataSource), kind = "data source", tag = "dataset";
    ScenesConfig,
    FineGrainedConfig,
    CaptionedScenesConfig,
    FolderConfig,
}
