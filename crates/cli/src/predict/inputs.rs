//! What is meant by the words of a command line: files, folders, patterns and addresses.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use polyptych_engine::ImageFiles;

use super::download::{download, is_address};
use crate::output::note;

/// Endings of films that ffmpeg reads.
const VIDEO_ENDINGS: [&str; 8] = ["mp4", "mov", "avi", "mkv", "webm", "m4v", "mpg", "gif"];

/// A photograph or a video.
pub(super) struct Input {
    pub(super) file: PathBuf,
    /// Its path, or where it came from.
    pub(super) shown: String,
    pub(super) kind: Kind,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Photograph,
    Video,
}

impl Kind {
    /// How names of its predictions end.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Photograph => ".png",
            Self::Video => ".mp4",
        }
    }
}

impl Input {
    fn new(file: PathBuf, shown: String) -> Self {
        let kind = if is_video(&file) { Kind::Video } else { Kind::Photograph };
        Self { file, shown, kind }
    }

    /// `reason`, which names the file, with the address where the file came from.
    pub(super) fn named(&self, reason: &str) -> String {
        reason.replace(&self.file.display().to_string(), &self.shown)
    }
}

/// What was found.
pub(super) struct Found {
    pub(super) inputs: Vec<Input>,
    /// What is wrong with addresses that gave no file.
    pub(super) bad: Vec<String>,
    pub(super) downloads_failed: usize,
}

/// All inputs that `words` name; files of addresses go into `downloads`.
pub(super) fn inputs(words: &[String], out: &Path, downloads: &Path) -> Result<Found> {
    let (mut paths, mut fetched, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    for word in words {
        match is_address(word) {
            true => match download(word, downloads) {
                Ok(file) => fetched.push(Input::new(file, word.clone())),
                Err(e) => bad.push(format!("{e:#}")),
            },
            false => paths.extend(resolved(word)?),
        }
    }
    let found = ImageFiles::of(&paths, out, is_video)?;
    note_passed_over(&found.passed_over);
    let local = found.files.into_iter().map(|file| {
        let shown = file.display().to_string();
        Input::new(file, shown)
    });
    let inputs: Vec<Input> = local.chain(fetched).collect();
    if inputs.is_empty() && bad.is_empty() {
        bail!(
            "{}: expected JPEG, PNG, WebP, TIFF or BMP images or videos, found none",
            words.join(", ")
        );
    }
    let downloads_failed = bad.len();
    Ok(Found { inputs, bad, downloads_failed })
}

fn is_video(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    VIDEO_ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// The paths that a pattern names, in the order of names; a path is itself.
fn resolved(word: &str) -> Result<Vec<PathBuf>> {
    let path = PathBuf::from(word);
    if path.exists() || !word.contains(['*', '?', '[']) {
        return Ok(vec![path]);
    }
    let found = glob::glob(word).with_context(|| format!("{word}: expected a pattern"))?;
    let found = found.collect::<Result<Vec<_>, _>>()?;
    match found.is_empty() {
        true => bail!("{word}: expected photographs, found no file of such a name"),
        false => Ok(found),
    }
}

fn note_passed_over(others: &[PathBuf]) {
    let shown: Vec<String> = others.iter().take(3).map(|p| p.display().to_string()).collect();
    match others.len() {
        0 => {}
        count @ 1..=3 => note!("skipped, not photographs ({count}): {}", shown.join(", ")),
        count => note!("skipped, not photographs ({count}): {}, ..", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_files_and_brackets_may_be_in_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a1.jpg", "a2.jpg", "b.jpg", "[c].jpg"] {
            std::fs::write(path(name), "").unwrap();
        }
        let words = |name: &str| path(name).display().to_string();
        assert_eq!(resolved(&words("a?.jpg")).unwrap(), ["a1.jpg", "a2.jpg"].map(path));
        assert_eq!(resolved(&words("[c].jpg")).unwrap(), [path("[c].jpg")]);
        assert_eq!(resolved(&words("absent.jpg")).unwrap(), [path("absent.jpg")]);
        let message = resolved(&words("*.png")).unwrap_err().to_string();
        assert!(message.ends_with("*.png: expected photographs, found no file of such a name"));
        assert!(resolved(&words("[.png")).is_err());
    }
}
