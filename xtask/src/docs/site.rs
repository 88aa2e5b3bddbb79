//! From pages to the site.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{book, gallery, html, reference, stage};
use crate::process;
use crate::setup::ensure;
use crate::workspace;

/// Builds the site in a folder of its own and checks it; keeps it unless `check` is all that is
/// wanted.
pub(super) fn run(check: bool, open: bool) -> Result<ExitCode> {
    ensure::libtorch()?;
    let root = workspace::root();
    let folder = tempfile::tempdir_in(root.join("target"))?;
    let said = said(&root)?;
    let mut written = reference::pages(&said)?;
    written.extend(gallery::pages(&root, &said)?);
    let pages = stage::pages(&root, written)?;
    stage::write(&root, &pages, &folder.path().join("src"))?;
    book::draw(folder.path())?;
    let site = folder.path().join("site");
    let broken = html::broken(&site)?;
    broken.iter().for_each(|line| eprintln!("{line}"));
    if !broken.is_empty() {
        bail!("{} links of the site lead nowhere", broken.len());
    }
    println!("{} pages, all links lead somewhere", pages.len() - 1);
    if !check {
        keep(&site, &root.join("target/site"), open)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the program says about recipes and manifests.
fn said(root: &Path) -> Result<Value> {
    let mut command = workspace::cargo_command();
    command.current_dir(root).args(["run", "--quiet", "--package", "polyptych-cli", "--"]);
    command.args(["recipe", "schema", "reference"]).stderr(std::process::Stdio::inherit());
    let text = process::output(&mut command);
    let text = text.with_context(|| format!("`{}` failed", process::shown(&command)))?;
    serde_json::from_str(&text).context("the reference")
}

fn keep(site: &Path, to: &Path, open: bool) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| to.display().to_string())?;
    }
    fs::rename(site, to).with_context(|| to.display().to_string())?;
    let index = to.join("index.html");
    println!("{}", index.display());
    if open {
        open::that(&index).with_context(|| index.display().to_string())?;
    }
    Ok(())
}
