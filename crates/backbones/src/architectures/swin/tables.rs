//! What a file's tables of relative positions tell of the windows that it was trained with.

use polyptych_tensor::Tensors;

use super::config::SwinConfig;
use super::window_size::WindowSize;
use crate::error::{Error, Result};
use crate::weights::resample::square_side;

impl SwinConfig {
    /// Refuses tables whose windows differ from stage to stage in another way than these do.
    ///
    /// One extent for all stages explains windows that shrink to their maps, and none that grow.
    ///
    /// # Errors
    /// Tables of windows that no image size gives to this configuration.
    pub(super) fn check_tables(&self, origin: &str, tensors: &Tensors) -> Result<()> {
        let Some(found) = self.extents(tensors) else { return Ok(()) };
        let named = self.named(&found);
        let fits = match &self.window_size {
            WindowSize::All(_) => named.is_none() && found.is_sorted_by(|a, b| a >= b),
            WindowSize::PerStage(own) => found == *own || found == self.planned(),
        };
        match fits {
            true => Ok(()),
            false => Err(self.foreign(origin, &found, named)),
        }
    }

    /// Windows of the file, stage by stage; nothing where one is not a square.
    fn extents(&self, tensors: &Tensors) -> Option<Vec<i64>> {
        let extent = |stage| {
            let name = format!("layers.{stage}.blocks.0.attn.relative_position_bias_table");
            let rows = tensors.get(&name)?.size().first().copied()?;
            Some((square_side(rows)? + 1) / 2)
        };
        (0..self.depths.len()).map(extent).collect()
    }

    fn planned(&self) -> Vec<i64> {
        (0..self.depths.len()).map(|stage| self.windows(stage, false).size[0]).collect()
    }

    /// The named Swin of this width and depth that has windows of its own in every stage, these ones.
    fn named(&self, found: &[i64]) -> Option<&'static str> {
        let summary = self.summarized();
        let is_it = |known: &Self| {
            matches!(&known.window_size, WindowSize::PerStage(own) if own == found)
                && known.summarized() == summary
        };
        Self::variants().into_iter().find(|(_, known)| is_it(known)).map(|(name, _)| name)
    }

    fn foreign(&self, origin: &str, found: &[i64], named: Option<&str>) -> Error {
        let expected = match &self.window_size {
            WindowSize::All(extent) => {
                format!("windows of one extent in all stages, {extent} here")
            }
            WindowSize::PerStage(extents) => format!("windows of {extents:?}"),
        };
        let which = named.map_or(String::new(), |name| format!(", those of {name}"));
        Error::Checkpoint {
            origin: origin.into(),
            key: "relative_position_bias_table".into(),
            expected,
            found: format!("{found:?}{which}; choose the backbone.name that they belong to"),
        }
    }
}
