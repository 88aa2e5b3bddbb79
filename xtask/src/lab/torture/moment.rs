//! What was a run doing when it was killed?

use std::path::Path;

use serde::Serialize;

/// The moment of a kill, as the files show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Moment {
    /// The folder of the run was not there yet.
    BeforeTheRun,
    /// Nothing was saved yet.
    BeforeTheFirstCheckpoint,
    /// A checkpoint was being written.
    WritingACheckpoint,
    /// Between two checkpoints, or after the last one.
    BetweenCheckpoints,
}

impl Moment {
    /// The moment that the files below `folder` show, `saved` being whether a checkpoint is there.
    pub(super) fn of(folder: &Path, saved: bool) -> Self {
        let entries = std::fs::read_dir(folder.join("checkpoints"));
        let mut names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
        let unfinished = |name: &str| name.ends_with(".part") || name.ends_with(".old");
        if !folder.join("recipe.toml").exists() {
            Self::BeforeTheRun
        } else if names.any(|name| name.to_str().is_some_and(unfinished)) {
            Self::WritingACheckpoint
        } else if saved {
            Self::BetweenCheckpoints
        } else {
            Self::BeforeTheFirstCheckpoint
        }
    }

    /// In words.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::BeforeTheRun => "before the run had a folder",
            Self::BeforeTheFirstCheckpoint => "before the first checkpoint",
            Self::WritingACheckpoint => "while a checkpoint was written",
            Self::BetweenCheckpoints => "between checkpoints",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_show_the_moment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(Moment::of(path, false), Moment::BeforeTheRun);
        std::fs::create_dir(path.join("checkpoints")).unwrap();
        std::fs::write(path.join("recipe.toml"), "").unwrap();
        assert_eq!(Moment::of(path, false), Moment::BeforeTheFirstCheckpoint);
        std::fs::create_dir(path.join("checkpoints/step-00000001")).unwrap();
        assert_eq!(Moment::of(path, true), Moment::BetweenCheckpoints);
        std::fs::create_dir(path.join("checkpoints/step-00000002.part")).unwrap();
        assert_eq!(Moment::of(path, true), Moment::WritingACheckpoint);
    }
}
