//! Shards of a split, one behind the other.

use std::collections::HashSet;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::decode::unreadable;
use crate::packed;

/// Writes samples to tar files of so many each.
pub(super) struct ShardWriter {
    folder: PathBuf,
    split: String,
    samples: usize,
    open: Option<(PathBuf, tar::Builder<BufWriter<File>>)>,
    keys: HashSet<String>,
}

impl ShardWriter {
    pub(super) fn new(folder: &Path, split: &str, samples: usize) -> Self {
        let (folder, split) = (folder.to_owned(), split.to_owned());
        Self { folder, split, samples: samples.max(1), open: None, keys: HashSet::new() }
    }

    /// Writes the sample `name` with these parts.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn add(&mut self, name: &str, parts: &[(String, Vec<u8>)]) -> Result<()> {
        let count = self.keys.len();
        if count.is_multiple_of(self.samples) {
            self.close()?;
            let number = count / self.samples;
            let path = self.folder.join(format!("{}-{number:06}.tar", self.split));
            let file = File::create_new(&path).map_err(unreadable(&path))?;
            self.open = Some((path, tar::Builder::new(BufWriter::new(file))));
        }
        let key = self.key(name);
        let Some((path, builder)) = &mut self.open else { return Ok(()) };
        for (part, bytes) in parts {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            let member = format!("{key}.{part}");
            builder.append_data(&mut header, member, &bytes[..]).map_err(unreadable(path))?;
        }
        Ok(())
    }

    /// Ends the last shard; the number of shards.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn finish(mut self) -> Result<usize> {
        self.close()?;
        Ok(self.keys.len().div_ceil(self.samples))
    }

    fn close(&mut self) -> Result<()> {
        let Some((path, builder)) = self.open.take() else { return Ok(()) };
        let file = builder.into_inner().map_err(unreadable(&path))?;
        let file = file.into_inner().map_err(|error| unreadable(&path)(error.into_error()))?;
        file.sync_all().map_err(unreadable(&path))?;
        let index = path.with_extension("idx");
        std::fs::write(&index, packed::index_of(&path)?).map_err(unreadable(&index))
    }

    /// A key of its own for the sample `name`: what stands behind its first dot would be a part.
    fn key(&mut self, name: &str) -> String {
        let clean: Vec<&str> =
            name.split('/').filter(|word| !["", ".", ".."].contains(word)).collect();
        let mut key = clean.join("/").replace('.', "_");
        if key.is_empty() || self.keys.contains(&key) {
            key = format!("{key}_{:08}", self.keys.len());
        }
        self.keys.insert(key.clone());
        key
    }
}
