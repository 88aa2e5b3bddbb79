//! `cargo xtask data`: list, fetch and verify data sets.
//!
//! A data set is a manifest in `datasets/`; its files come to `data/<name>`, and what came is
//! recorded beside that folder in `data/<name>.files`.

mod fetch;
mod manifest;
mod place;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use manifest::Manifest;

use crate::flags::{Data, DataCommand, Verify};
use crate::record::{self, Depth};
use crate::{libtorch, process, workspace};

/// Runs the command.
pub(crate) fn run(flags: &Data) -> Result<ExitCode> {
    match &flags.command {
        DataCommand::List => print!("{}", list(&workspace::root())?),
        DataCommand::Fetch(flags) => fetch::run(flags)?,
        DataCommand::Verify(flags) => return verify(flags),
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a data set lies in this checkout.
struct Home {
    folder: PathBuf,
    record: PathBuf,
}

impl Home {
    fn new(root: &Path, name: &str, into: Option<&Path>) -> Result<Home> {
        let folder = into.map_or_else(|| root.join("data").join(name), Path::to_path_buf);
        let folder = std::path::absolute(folder)?;
        let mut record = folder.clone().into_os_string();
        record.push(".files");
        Ok(Home { folder, record: record.into() })
    }

    /// Number of files and bytes of a whole data set; the error names the first that differs.
    fn check(&self, depth: Depth) -> Result<(usize, u64)> {
        let entries = record::read(&self.record)?;
        record::check(&self.folder, &entries, depth)?;
        Ok((entries.len(), entries.iter().map(|entry| entry.bytes).sum()))
    }

    fn state(&self) -> String {
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

fn list(root: &Path) -> Result<String> {
    let mut lines = String::new();
    for manifest in Manifest::all(&root.join("datasets"))? {
        let state = Home::new(root, &manifest.name, None)?.state();
        let way = if manifest.archive.is_empty() { "by hand" } else { "fetch" };
        lines += &format!(
            "{:<14} {way:<8} {state}\n{:24}{}\n",
            manifest.name, "", manifest.source.licence
        );
    }
    Ok(lines)
}

/// Compares the files with what came, then tells what they hold.
fn verify(flags: &Verify) -> Result<ExitCode> {
    let root = workspace::root();
    let manifest = Manifest::named(&root.join("datasets"), &flags.name)?;
    let home = Home::new(&root, &manifest.name, flags.into.as_deref())?;
    let checked = home.check(Depth::Hashes);
    let remedy = || {
        format!(
            "{} is not whole; run: cargo xtask data fetch {}",
            home.folder.display(),
            manifest.name
        )
    };
    let (files, bytes) = checked.with_context(remedy)?;
    println!("{}: {files} files, {bytes} bytes, all as recorded", home.folder.display());
    if flags.files_only {
        return Ok(ExitCode::SUCCESS);
    }
    libtorch::ensure()?;
    process::become_child(&mut facts(&root, &manifest.name, &home.folder))
}

/// The program that reads every label: counts, sizes, ranges, and which copy it is.
fn facts(root: &Path, name: &str, folder: &Path) -> Command {
    let mut command = Command::new(workspace::cargo());
    command.args(["run", "--release", "--package", "polyptych-cli", "--bin", "polyptych", "--"]);
    command.args(["data", "facts"]).arg(root.join("datasets").join(format!("{name}.toml")));
    command.arg("--root").arg(folder);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn states_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::new(root.path(), "x", None).unwrap();
        assert_eq!(home.state(), "not here");
        fs::create_dir_all(&home.folder).unwrap();
        fs::write(home.folder.join("a"), "abc").unwrap();
        assert_eq!(home.state(), "here, not recorded");
        record::write(&home.record, &record::survey(&home.folder).unwrap()).unwrap();
        assert_eq!(home.state(), "here, 1 files, 0 MB");
        fs::write(home.folder.join("a"), "ab").unwrap();
        assert!(home.state().starts_with("damaged: "));
    }

    #[test]
    fn facts_are_those_of_the_folder_that_was_compared() {
        let shown = process::shown(&facts(Path::new("r"), "nyud", Path::new("r/data/nyud")));
        let end = "-- data facts r/datasets/nyud.toml --root r/data/nyud";
        assert!(shown.ends_with(end), "{shown}");
    }

    #[test]
    fn the_repositorys_manifests_are_listed() {
        let text = list(&workspace::root()).unwrap();
        for name in
            ["bsds500", "camvid", "cifar10", "cityscapes", "cub", "fashion_mnist", "retinopathy"]
        {
            assert!(text.contains(name), "{text}");
        }
    }
}
