//! `polyptych data new`: a manifest for a folder of one's own, and a picture to check it by.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use polyptych_engine::{ContactSheet, Root, contact_sheet, infer_manifest, split_sizes};

use super::messages::plural;
use crate::command::Subcommand;
use crate::output::say;

const SAMPLES: usize = 6;
const SIDE: usize = 160;

/// Inspect a folder, write a manifest for it, and draw some samples
#[derive(Debug, Parser)]
#[command(name = "new", after_help = "Examples:\n  polyptych data new DIR --out mine.toml")]
pub(crate) struct New {
    /// The folder of images and labels
    folder: PathBuf,
    /// The manifest, a new file [default: NAME.toml after the folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The picture of samples with their labels, a PNG file [default: NAME.png beside the manifest]
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
}

impl Subcommand for New {
    fn run(flags: &Self) -> Result<ExitCode> {
        let folder = &flags.folder;
        let name = name(&folder.canonicalize().with_context(|| folder.display().to_string())?)?;
        let manifest = flags.out.clone().unwrap_or_else(|| format!("{name}.toml").into());
        if manifest.exists() {
            bail!("{}: expected a new file, found one that exists", manifest.display());
        }
        let inferred = infer_manifest(&name, folder)?;
        std::fs::write(&manifest, &inferred.manifest)
            .with_context(|| manifest.display().to_string())?;
        say!("{}", manifest.display());
        inferred.notes.iter().for_each(|note| say!("  note: {}", note.replace(['\n', '\r'], " ")));
        for (split, size) in split_sizes(&manifest, &Root::new(folder, false))? {
            say!("  {split}: {}", size_of(size));
        }
        let split = inferred.splits.iter().find(|split| split.starts_with("train"));
        let sheet = ContactSheet {
            manifest: manifest.clone(),
            root: Some(folder.clone()),
            follow_links: false,
            split: split.or(inferred.splits.first()).cloned().unwrap_or_default(),
            samples: SAMPLES,
            side: SIDE,
            augment: None,
            seed: 0,
        };
        let picture = flags.sheet.clone().unwrap_or_else(|| manifest.with_extension("png"));
        let drawn = contact_sheet(&sheet).context(
            "the inferred manifest does not fit all files; `polyptych data check` lists where",
        )?;
        drawn.save(&picture).with_context(|| picture.display().to_string())?;
        say!("{}", picture.display());
        let (file, root) = (manifest.display(), folder.display());
        say!("check both files, then run: polyptych data check {file} --root {root}");
        Ok(ExitCode::SUCCESS)
    }
}

/// The manifest `<name>.toml` for `folder` where the program runs; written by looking at the folder
/// unless it is there, with what was passed over.
pub(crate) fn manifest_of(folder: &Path) -> Result<(PathBuf, Option<Vec<String>>)> {
    let name = name(&folder.canonicalize().with_context(|| folder.display().to_string())?)?;
    let manifest = PathBuf::from(format!("{name}.toml"));
    if manifest.exists() {
        return Ok((manifest, None));
    }
    let inferred = infer_manifest(&name, folder)?;
    let mut note = inferred.held_out.as_ref().map(|_| held_out(&inferred.splits));
    let write = |text: &str| {
        std::fs::write(&manifest, text).with_context(|| manifest.display().to_string())
    };
    write(inferred.held_out.as_ref().unwrap_or(&inferred.manifest))?;
    if note.is_some() && is_empty(&manifest, folder) {
        write(&inferred.manifest)?;
        note = None;
    }
    Ok((manifest, Some(inferred.notes.into_iter().chain(note).collect())))
}

/// Whether a tenth of so few images is none.
fn is_empty(manifest: &Path, folder: &Path) -> bool {
    let sizes = split_sizes(manifest, &Root::new(folder, false));
    sizes.is_ok_and(|sizes| sizes.iter().any(|(_, size)| size.is_err()))
}

fn held_out(splits: &[String]) -> String {
    format!(
        "no split but {}: a tenth of its images, by their names, is held out",
        splits.join(", ")
    )
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
