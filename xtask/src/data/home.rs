//! Where a data set lies, and whether it is whole.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::setup::record::{self, Depth};

/// Where a data set lies in this checkout.
pub(super) struct Home {
    pub(super) folder: PathBuf,
    pub(super) record: PathBuf,
}

impl Home {
    /// Of the data set `name`, below `root` where `into` names no other folder.
    pub(super) fn new(root: &Path, name: &str, into: Option<&Path>) -> Result<Home> {
        let folder = into.map_or_else(|| root.join("data").join(name), Path::to_path_buf);
        let folder = std::path::absolute(folder)?;
        let mut record = folder.clone().into_os_string();
        record.push(".files");
        Ok(Home { folder, record: record.into() })
    }

    /// Number of files and bytes of a whole data set; the error names the first that differs.
    pub(super) fn check(&self, depth: Depth) -> Result<(usize, u64)> {
        let entries = record::read(&self.record)?;
        record::check(&self.folder, &entries, depth)?;
        Ok((entries.len(), entries.iter().map(|entry| entry.bytes).sum()))
    }

    /// In words.
    pub(super) fn state(&self) -> String {
        match (self.folder.exists(), self.record.exists()) {
            (false, false) => "not here".into(),
            (true, false) => "here, not recorded".into(),
            _ => match self.check(Depth::Sizes) {
                Ok((files, bytes)) => format!("here, {files} files, {} MB", bytes / 1_000_000),
                Err(error) => format!("damaged: {error:#}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn states_differ() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::new(root.path(), "x", None).unwrap();
        assert_eq!(home.state(), "not here");
        fs::create_dir_all(&home.folder).unwrap();
        fs::write(home.folder.join("a"), "abc").unwrap();
        assert_eq!(home.state(), "here, not recorded");
        record::write(&home.record, &record::list_files(&home.folder).unwrap()).unwrap();
        assert_eq!(home.state(), "here, 1 files, 0 MB");
        fs::write(home.folder.join("a"), "ab").unwrap();
        assert!(home.state().starts_with("damaged: "));
    }
}
