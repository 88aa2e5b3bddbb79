//! Files of Swins whose stages were planned by rounding down.
//!
//! Earlier versions of Polyptych, and of timm, planned a stage for half the positions of the one
//! before, rounded down, although maps are padded and so rounded up. At sizes whose grid of patches
//! does not halve evenly, windows were smaller than they are now, or not shifted.

use polyptych_tensor::Tensors;

use super::config::SwinConfig;
use super::windows::Windows;
use crate::error::{Error, Result};

/// Key and value in the header of files whose Swins, if any, were planned by rounding up.
pub const ROUNDED_UP: (&str, &str) = ("swin_stage_resolution", "ceil");

/// What to do with a model of the old rule.
const ADVICE: &str = "evaluate or merge it with the version that trained it; plain weights may be \
                      backbone.weights here, where they are resampled";

impl SwinConfig {
    /// Refuses the values of a model of this configuration that was planned by rounding down,
    /// where that cuts other windows.
    ///
    /// # Errors
    /// The first stage whose windows differ.
    pub(super) fn refuse_floored_stages(&self, origin: &str) -> Result<()> {
        match (0..self.depths.len()).find(|&stage| self.differs(stage)) {
            Some(stage) => Err(self.rounded_down(origin, stage)),
            None => Ok(()),
        }
    }

    /// What is to be known of tables of relative positions that have, all of them, the sizes of a
    /// plan that was rounded down, and some no other: weights of another size may have them too.
    pub(super) fn note_old_tables(&self, tensors: &Tensors) -> Option<String> {
        let rows = |stage: usize| {
            let name = format!("layers.{stage}.blocks.0.attn.relative_position_bias_table");
            tensors.get(&name)?.size().first().copied()
        };
        let stages = 0..self.depths.len();
        let old = |stage| rows(stage) == Some(table_rows(self.floored(stage, false).size));
        let new = |stage| self.window(stage).map(table_rows);
        let differs = stages.clone().find(|&stage| rows(stage) != new(stage));
        differs.filter(|_| stages.clone().all(old)).map(|stage| {
            let [high, wide] = self.img_size;
            format!(
                "the table of relative positions of layers.{stage} is resampled; it has the size \
                 that earlier versions, which rounded down, gave it for images of {high} x {wide}"
            )
        })
    }

    fn differs(&self, stage: usize) -> bool {
        // A stage of one block shifts nothing.
        let shifted = self.depths[stage] > 1;
        self.floored(stage, shifted) != self.windows(stage, shifted)
    }

    fn floored(&self, stage: usize, shifted: bool) -> Windows {
        self.windows_of(self.floored_resolution(stage), stage, shifted)
    }

    fn floored_resolution(&self, stage: usize) -> [i64; 2] {
        self.img_size.map(|side| ((side / self.patch_size) >> stage).max(1))
    }

    fn rounded_down(&self, origin: &str, stage: usize) -> Error {
        let (now, old) = (self.resolution(stage), self.floored_resolution(stage));
        let size = |windows: Windows| {
            let (rows, [high, wide]) = (table_rows(windows.size), windows.size);
            format!(
                "windows of {high} x {wide}, a table of {rows} rows and a shift of {:?}",
                windows.shift
            )
        };
        let shifted = self.depths[stage] > 1;
        Error::Checkpoint {
            origin: origin.into(),
            key: format!("layers.{stage}.blocks.*.attn.relative_position_bias_table"),
            expected: format!(
                "{} for the {now:?} positions that images of {:?} have there, rounded up as in timm",
                size(self.windows(stage, shifted)),
                self.img_size,
            ),
            found: format!(
                "those of an earlier version, rounded down to {old:?}: {}; {ADVICE}",
                size(self.floored(stage, shifted)),
            ),
        }
    }
}

fn table_rows([rows, columns]: [i64; 2]) -> i64 {
    (2 * rows - 1) * (2 * columns - 1)
}
