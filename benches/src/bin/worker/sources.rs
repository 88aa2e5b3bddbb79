//! The photographs as shards and tables keep them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use polyptych_data::{PackOptions, Root, pack};

use crate::photographs::TASKS;

/// Samples of a shard.
const SAMPLES: usize = 32;

/// Where samples lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Files of their own.
    Files,
    /// Tar shards, which we pack.
    WebDataset,
    /// Tables of Parquet, which `datasets` writes.
    Parquet,
    /// Tables of Arrow, which `datasets` writes.
    Arrow,
}

impl Source {
    /// Keeps the photographs of `folder` so; the manifest, and the folder that it describes.
    pub(crate) fn keep(self, folder: &Path) -> Result<(PathBuf, PathBuf)> {
        let files = folder.join("photographs.toml");
        match self {
            Source::Files => Ok((files, folder.to_owned())),
            Source::WebDataset => shards(folder, &files),
            Source::Parquet => tables(folder, &files, "parquet"),
            Source::Arrow => tables(folder, &files, "arrow"),
        }
    }
}

fn shards(folder: &Path, files: &Path) -> Result<(PathBuf, PathBuf)> {
    let out = folder.join("shards");
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    let options = PackOptions { samples: SAMPLES, splits: Vec::new() };
    let report = pack(files, &Root::new(folder, false), &out, &options, &|_, _, _| ())?;
    Ok((report.manifest, out))
}

/// Files as users have them: those of the package that made the format known.
fn tables(folder: &Path, files: &Path, format: &str) -> Result<(PathBuf, PathBuf)> {
    let python = std::env::var_os("POLYPTYCH_PYTHON").unwrap_or_else(|| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/tables.py");
    let out = folder.join(format);
    let mut command = Command::new(&python);
    command.arg(script).arg(folder).arg(format);
    let status = command.status().with_context(|| python.display().to_string())?;
    if !status.success() {
        bail!(
            "{}: expected a Python with the package datasets; POLYPTYCH_PYTHON names one",
            python.display()
        );
    }
    let manifest = std::fs::read_to_string(files)?;
    let pattern = if format == "arrow" { "{split}/data-*.arrow" } else { "{split}-*.parquet" };
    let layout = format!("format = \"{format}\"\nimages = \"{pattern}\"\nimage = \"image\"");
    let mut manifest = manifest.replace("images = \"images/{id}.jpg\"", &layout);
    for (task, _) in TASKS {
        manifest = manifest.replace(&format!("\"{task}/{{id}}.png\""), &format!("\"{task}\""));
    }
    let path = folder.join(format!("{format}.toml"));
    std::fs::write(&path, manifest)?;
    Ok((path, out))
}
