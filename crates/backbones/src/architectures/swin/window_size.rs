//! Extent of windows: one for all stages, or one for each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Positions along one side of a window, as timm's `window_size` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum WindowSize {
    /// The same in all stages.
    All(i64),
    /// One number per stage, as in timm's `swin_s3_tiny_224`.
    PerStage(Vec<i64>),
}

impl WindowSize {
    /// The extent in stage `stage`; nothing where there is no such stage.
    pub fn of(&self, stage: usize) -> Option<i64> {
        match self {
            WindowSize::All(extent) => Some(*extent),
            WindowSize::PerStage(extents) => extents.get(stage).copied(),
        }
    }

    /// Whether every one of `stages` stages has a positive extent, and none more.
    pub(super) fn is_of(&self, stages: usize) -> bool {
        match self {
            WindowSize::All(extent) => *extent > 0,
            WindowSize::PerStage(extents) => {
                extents.len() == stages && extents.iter().all(|&extent| extent > 0)
            }
        }
    }
}

impl From<i64> for WindowSize {
    fn from(extent: i64) -> Self {
        WindowSize::All(extent)
    }
}

impl From<Vec<i64>> for WindowSize {
    /// One number where all stages have the same.
    fn from(extents: Vec<i64>) -> Self {
        match extents.first() {
            Some(&first) if extents.iter().all(|&extent| extent == first) => first.into(),
            _ => WindowSize::PerStage(extents),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_or_a_list_is_read_and_written_as_timm_does() {
        for (json, extents) in [("7", [7, 7]), ("[7,14]", [7, 14])] {
            let size: WindowSize = serde_json::from_str(json).unwrap();
            assert_eq!([0, 1].map(|stage| size.of(stage).unwrap()), extents);
            assert_eq!(serde_json::to_string(&size).unwrap(), json);
            assert_eq!(WindowSize::from(extents.to_vec()), size);
        }
        assert_eq!(WindowSize::from(vec![7, 14]).of(2), None);
    }
}
