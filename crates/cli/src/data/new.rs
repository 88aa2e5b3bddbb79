//! `polyptych data new`: a manifest for a folder of one's own, and a picture to check it by.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use polyptych_engine::{ContactSheet, Root, SourceRecipe, contact_sheet, guess, split_sizes};

use super::said::plural;
use crate::flags::DataNewFlags;
use crate::output::say;

const SAMPLES: usize = 6;
const SIDE: usize = 160;
/// The split of a tenth of the images of a folder with one split.
const HELD_OUT: &str = "held_out";

pub(crate) fn run(flags: &DataNewFlags) -> Result<()> {
    let folder = &flags.folder;
    let name = name(&folder.canonicalize().with_context(|| folder.display().to_string())?)?;
    let manifest = flags.out.clone().unwrap_or_else(|| format!("{name}.toml").into());
    if manifest.exists() {
        bail!("{}: expected a new file, found one that exists", manifest.display());
    }
    let guess = guess(&name, folder)?;
    std::fs::write(&manifest, &guess.manifest).with_context(|| manifest.display().to_string())?;
    say!("{}", manifest.display());
    guess.notes.iter().for_each(|note| say!("  note: {}", note.replace(['\n', '\r'], " ")));
    for (split, size) in split_sizes(&manifest, &Root::new(folder, false))? {
        say!("  {split}: {}", size_of(size));
    }
    let split = guess.splits.iter().find(|split| split.starts_with("train"));
    let sheet = ContactSheet {
        manifest: manifest.clone(),
        root: Some(folder.clone()),
        follow_links: false,
        split: split.or(guess.splits.first()).cloned().unwrap_or_default(),
        samples: SAMPLES,
        side: SIDE,
        augment: None,
        seed: 0,
    };
    let picture = flags.sheet.clone().unwrap_or_else(|| manifest.with_extension("png"));
    let drawn = contact_sheet(&sheet)
        .context("the guess does not fit everywhere, `polyptych data check` tells where")?;
    drawn.save(&picture).with_context(|| picture.display().to_string())?;
    say!("{}", picture.display());
    say!("read both over, then: polyptych data check {} --root DIR", manifest.display());
    Ok(())
}

/// The manifest `<name>.toml` for `folder` where the program runs; written by looking at the folder
/// unless it is there, with what was passed over.
pub(crate) fn manifest_of(folder: &Path) -> Result<(PathBuf, Option<Vec<String>>)> {
    let name = name(&folder.canonicalize().with_context(|| folder.display().to_string())?)?;
    let manifest = PathBuf::from(format!("{name}.toml"));
    if manifest.exists() {
        return Ok((manifest, None));
    }
    let guess = guess(&name, folder)?;
    let (text, mut note) = held_out(&guess.manifest, &guess.splits);
    let write = |text: &str| {
        std::fs::write(&manifest, text).with_context(|| manifest.display().to_string())
    };
    write(&text)?;
    if note.is_some() && is_empty(&manifest, folder) {
        write(&guess.manifest)?;
        note = None;
    }
    Ok((manifest, Some(guess.notes.into_iter().chain(note).collect())))
}

/// Whether a tenth of so few images is none.
fn is_empty(manifest: &Path, folder: &Path) -> bool {
    let source = SourceRecipe::Folder {
        manifest: manifest.into(),
        root: Some(folder.into()),
        split: HELD_OUT.into(),
        limit: None,
        follow_links: false,
    };
    source.open_for(|_| false).is_err()
}

/// A tenth of the only split is kept for measuring, by the names of its images.
fn held_out(manifest: &str, splits: &[String]) -> (String, Option<String>) {
    let [only] = splits else { return (manifest.to_owned(), None) };
    let line = format!("\n{only} = {{}}\n");
    let two = format!(
        "\n{only} = {{ folder = \"{only}\", fraction = [0.0, 0.9] }}\n\
         {HELD_OUT} = {{ folder = \"{only}\", fraction = [0.9, 1.0] }}\n"
    );
    let note = format!("no split but {only}: a tenth of its images, by their names, is held out");
    match manifest.contains(&line) {
        true => (manifest.replacen(&line, &two, 1), Some(note)),
        false => (manifest.to_owned(), None),
    }
}

/// How many images a split has, and whether they are enough.
fn size_of(size: Result<usize, polyptych_engine::DataError>) -> String {
    match size {
        Ok(1) => "1 image, too few to learn from or to measure on: change the splits".to_owned(),
        Ok(count) => plural(count, "image"),
        Err(error) => error.to_string(),
    }
}

/// A name of lower-case letters, digits and underscores after the folder's.
fn name(folder: &Path) -> Result<String> {
    let last = folder.file_name().and_then(|name| name.to_str());
    let last =
        last.with_context(|| format!("{}: expected a folder with a name", folder.display()))?;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    Ok(last.chars().map(plain).collect())
}
