//! The folder below which a data set reads.

use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use crate::{Error, Result};

/// The folder of a data set. Nothing outside of it is read, whatever its lists, tables and symbolic
/// links say, unless the user lets links lead out, to another disk for example. The folder itself
/// may be a link.
#[derive(Debug, Clone)]
pub struct Root {
    path: PathBuf,
    /// The folder without links, so that one file has one name.
    real: PathBuf,
    follow_links: bool,
}

impl Root {
    /// The folder `path`, which `follow_links` may lead out of.
    pub fn new(path: &Path, follow_links: bool) -> Self {
        // Whoever reads below a folder that is not there says so.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self { path: path.to_owned(), real, follow_links }
    }

    /// The folder as it was given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder without links.
    pub(crate) fn real(&self) -> &Path {
        &self.real
    }

    /// Whether links may lead out.
    pub(crate) fn follows_links(&self) -> bool {
        self.follow_links
    }

    /// The path of `name`, in the Unicode form in which the file is called so: archives of some
    /// systems hold decomposed names, which look the same.
    pub(crate) fn find(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.path.join(&name);
        match name.as_ref().to_str() {
            Some(name) if !name.is_ascii() && !path.exists() => {
                let forms = [name.nfc().collect::<String>(), name.nfd().collect()];
                let other = forms.iter().map(|form| self.path.join(form)).find(|p| p.exists());
                other.unwrap_or(path)
            }
            _ => path,
        }
    }

    /// The file `name`, which need not exist.
    ///
    /// # Errors
    /// [`Error::Entry`] for a file that lies elsewhere.
    pub(crate) fn file(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let path = self.find(name);
        self.check(&path)?;
        // Readers of packed files look for unpacked ones too.
        if path.extension().is_some_and(|ext| ext == "gz") {
            self.check(&path.with_extension(""))?;
        }
        Ok(path)
    }

    fn check(&self, path: &Path) -> Result<()> {
        if self.follow_links {
            return Ok(());
        }
        match path.canonicalize() {
            Ok(target) if !target.starts_with(&self.real) => {
                Err(Error::Entry { path: path.to_owned(), reason: outside(&target) })
            }
            // The reader says why a file cannot be had.
            _ => Ok(()),
        }
    }
}

/// What is said of a link to `target`.
pub(crate) fn outside(target: &Path) -> String {
    format!("expected links within the folder, found one to {}", target.display())
}
