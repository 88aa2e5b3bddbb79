//! `polyptych train --data` and `polyptych recipe new`: from a folder or a manifest to a recipe.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use polyptych_engine::{propose, shipped_manifest};

use crate::data::manifest_of;
use crate::output::{note, say};

/// The recipe file for the data set `data`, a manifest or a folder without one; both are written
/// into the folder where the program runs, unless they are there.
pub(crate) fn for_data(data: &Path, overrides: &[String]) -> Result<PathBuf> {
    let shown = data.display();
    if !data.exists() && shipped_manifest(data).is_none() {
        bail!(
            "{shown}: expected a folder of images with labels, or a manifest, found nothing there"
        );
    }
    if data.is_file() && data.extension().is_none_or(|ending| ending != "toml") {
        bail!(
            "{shown}: expected a folder or a manifest (.toml), found another file; unpack archives"
        );
    }
    let (manifest, root) = match data.is_dir() {
        true => (described(data)?, Some(data)),
        false => (data.to_owned(), None),
    };
    let recipe = default_name(&manifest);
    if recipe.exists() {
        note!("{}: exists and is used; remove it to write a new one", recipe.display());
        return Ok(recipe);
    }
    let set = |text: &String| text.trim().strip_prefix("train.steps=")?.trim().parse().ok();
    write(&manifest, root, overrides.iter().rev().find_map(set), &recipe)?;
    Ok(recipe)
}

/// `polyptych recipe new`.
pub(crate) fn new(manifest: &Path, root: Option<&Path>, out: Option<PathBuf>) -> Result<()> {
    let out = out.unwrap_or_else(|| default_name(manifest));
    if out.exists() {
        bail!("{}: expected a new file, found one that exists", out.display());
    }
    write(manifest, root, None, &out)?;
    say!("{}", out.display());
    Ok(())
}

/// `<name>.recipe.toml`: the manifest itself may be `<name>.toml`.
fn default_name(manifest: &Path) -> PathBuf {
    let name = manifest.file_stem().unwrap_or_default().to_string_lossy();
    format!("{name}.recipe.toml").into()
}

fn write(manifest: &Path, root: Option<&Path>, steps: Option<usize>, out: &Path) -> Result<()> {
    let proposal = propose(manifest, root, steps)?;
    std::fs::write(out, &proposal.text).with_context(|| out.display().to_string())?;
    note!("{}: a recipe for {}", out.display(), manifest.display());
    proposal.reasons.iter().for_each(|reason| note!("  {reason}"));
    Ok(())
}

/// The manifest of a folder: one that is there already, or a new one by looking at the folder.
fn described(folder: &Path) -> Result<PathBuf> {
    let (manifest, notes) = manifest_of(folder)?;
    match notes {
        None => note!("{}: exists and is used", manifest.display()),
        Some(notes) => {
            note!("{}: a manifest for {}", manifest.display(), folder.display());
            notes.iter().for_each(|note| note!("  {note}"));
        }
    }
    Ok(manifest)
}
