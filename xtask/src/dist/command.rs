//! The command: builds the program once and packs it twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use sha2::{Digest, Sha256};

use super::{libraries, packages, tarball, wheel};
use crate::command::Subcommand;
use crate::lab::program::built_with;
use crate::setup::ensure;
use crate::workspace;

/// Pack the program for users: an archive with LibTorch, and a Python wheel that takes torch's
#[derive(Parser)]
#[command(name = "dist")]
pub(crate) struct Dist {
    /// Folder of the results
    #[arg(long, value_name = "DIR", default_value = "target/dist")]
    pub(crate) out: PathBuf,
    /// Pack this program instead of building one; it must look for LibTorch beside itself
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Say what would be made
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Subcommand for Dist {
    fn run(flags: &Self) -> Result<ExitCode> {
        let names = [tarball::name(), "the wheel for Python".to_owned(), SUMS.to_owned()];
        if flags.dry_run {
            names
                .iter()
                .for_each(|name| println!("would make {} in {}", name, flags.out.display()));
            return Ok(ExitCode::SUCCESS);
        }
        ensure::libtorch()?;
        let program = match &flags.program {
            Some(program) => program.clone(),
            // The build script of the program then leaves the paths of this machine out.
            None => built_with("polyptych-cli", "polyptych", &[("POLYPTYCH_PORTABLE", "1")])?,
        };
        fs::create_dir_all(&flags.out).with_context(|| flags.out.display().to_string())?;
        for path in pack(&program, &flags.out)? {
            println!("{}", path.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Hashes in the form of `sha256sum --check`.
const SUMS: &str = "SHA256SUMS";

fn pack(program: &Path, out: &Path) -> Result<Vec<PathBuf>> {
    let root = workspace::root();
    let crates = packages::crates(&root)?;
    let libraries = libraries::of(program)?;
    let packages = packages::of_archive(&crates, &libraries)?;
    let archive = tarball::write(&root, program, &libraries, &packages, out)?;
    let wheel = wheel::write(&root, program, &packages::of_wheel(&crates), out)?;
    let sums = out.join(SUMS);
    fs::write(&sums, sums_of(&[&archive, &wheel])?).with_context(|| sums.display().to_string())?;
    Ok(vec![archive, wheel, sums])
}

fn sums_of(files: &[&Path]) -> Result<String> {
    let line = |path: &&Path| {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(format!("{:x}  {name}\n", Sha256::digest(&bytes)))
    };
    files.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "").unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sums_of(&[&path]).unwrap(), format!("{empty}  a\n"));
    }
}
