//! `cargo xtask gpu`: one folder with all that a machine with a GPU has to show.
//!
//! A GPU is often lent for minutes, on a machine without network or compiler. The bundle holds
//! stripped programs, the peers' scripts and [`RUN`], which runs stages in the order of their worth,
//! each with a limit of time. `--rehearse` runs it here on the CPU, from a copy in an empty folder;
//! `--check` runs its first stages so, with the programs that tests have built.

mod folder;
mod rehearsal;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Parser;
use sha2::{Digest, Sha256};

use self::folder::{copied, files, mib};
use super::program::{Profile, built_as, built_test_as};
use crate::command::Subcommand;
use crate::process;
use crate::setup::ensure;
use crate::workspace;

/// What runs the stages.
const RUN: &str = include_str!("gpu/run.sh");
/// A bundle must fit into what such machines take.
const MAX_BYTES: u64 = 64 << 20;

/// Bundle what a machine with a GPU has to show: parity, speed beside PyTorch, training
#[derive(Parser)]
#[command(name = "gpu")]
pub(crate) struct Gpu {
    /// Folder of the bundle
    #[arg(long, default_value = "target/gpu", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Run the bundle here, on the CPU, at small sizes, and write the page of it
    #[arg(long)]
    pub(crate) rehearse: bool,
    /// Run its first stages with programs as tests build them, a few cases, without Python
    #[arg(long, conflicts_with = "rehearse")]
    pub(crate) check: bool,
    /// Programs as tests build them: a rehearsal without a build for release
    #[arg(long)]
    pub(crate) dev: bool,
    /// Python with torch, timm, peft and torchvision, for the rehearsal
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    pub(crate) python: PathBuf,
    /// Page of the rehearsal
    #[arg(long, default_value = "docs/results/gpu-rehearsal.md", value_name = "FILE")]
    pub(crate) page: PathBuf,
}

impl Subcommand for Gpu {
    fn run(flags: &Self) -> Result<ExitCode> {
        if flags.check {
            return check();
        }
        let profile = if flags.dev { Profile::Dev } else { Profile::Release };
        let bytes = bundle(&flags.out, profile)?;
        if bytes > MAX_BYTES && !flags.dev {
            bail!("{}: expected at most {MAX_BYTES} bytes, found {bytes}", flags.out.display());
        }
        println!("{}: {}", flags.out.display(), mib(bytes));
        match flags.rehearse {
            true => rehearsal::rehearse(&flags.out, profile, &flags.python, &flags.page),
            false => Ok(ExitCode::SUCCESS),
        }
    }
}

/// Makes a bundle of programs for tests and runs its first stages.
fn check() -> Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    bundle(folder.path(), Profile::Dev)?;
    rehearsal::check(folder.path())
}

/// Makes the bundle anew and says how large it is.
fn bundle(folder: &Path, profile: Profile) -> Result<u64> {
    ensure::libtorch()?;
    let programs = [
        ("polyptych", built_as(profile, "polyptych")?),
        ("worker", built_as(profile, "worker")?),
        ("xtask", built_as(profile, "xtask")?),
        ("devices", built_test_as(profile, "devices")?),
    ];
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    for (name, path) in &programs {
        let program = folder.join("bin").join(name);
        stripped(path, &program)?;
        if profile == Profile::Release {
            compressed(&program)?;
        }
    }
    let peers = workspace::root().join("benches/peers");
    for entry in std::fs::read_dir(&peers).with_context(|| peers.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "py") {
            let name = path.file_name().context("a file of a folder has a name")?;
            copied(&path, &folder.join("benches/peers").join(name))?;
        }
    }
    let script = folder.join("run.sh");
    std::fs::write(&script, RUN).with_context(|| script.display().to_string())?;
    executable(&script)?;
    sums(folder)
}

/// Copies a program without its symbols.
fn stripped(from: &Path, to: &Path) -> Result<()> {
    copied(from, to)?;
    process::step(Command::new("strip").arg(to))
}

/// Leaves `PROGRAM.xz` in the place of a program: four of them are larger than a bundle may be.
fn compressed(program: &Path) -> Result<()> {
    process::step(Command::new("xz").arg("-9e").arg(program))
}

#[cfg(unix)]
fn executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, all).with_context(|| path.display().to_string())
}

#[cfg(not(unix))]
fn executable(_path: &Path) -> Result<()> {
    Ok(())
}

/// Writes `SHA256SUMS` and says how many bytes the files of the bundle have.
fn sums(folder: &Path) -> Result<u64> {
    let (mut bytes, mut text) = (0, String::new());
    for path in files(folder)? {
        let mut content = Vec::new();
        std::fs::File::open(&path)?.read_to_end(&mut content)?;
        bytes += content.len() as u64;
        let sum = Sha256::digest(&content);
        let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("{hex}  {}\n", workspace::below(folder, &path));
    }
    let path = folder.join("SHA256SUMS");
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_that_the_stages_run_is_in_the_bundle() {
        for part in RUN.split("$here/bin/").skip(1) {
            let name: String = part.chars().take_while(char::is_ascii_alphanumeric).collect();
            assert!(["polyptych", "worker", "xtask", "devices"].contains(&name.as_str()), "{name}");
        }
        for case in ["mtlora", "swin", "vit", "emtal", "lora", "full", "vmt"] {
            assert!(RUN.contains(&format!(" {case} ")), "{case}");
        }
    }

    /// What is lent at a time, with some left to start in.
    #[test]
    fn all_stages_end_in_a_quarter_of_an_hour() {
        let limits = RUN.lines().filter_map(|line| line.strip_prefix("stage "));
        let limits: Vec<u64> =
            limits.map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
        assert_eq!(limits.len(), 11);
        assert!(limits.iter().sum::<u64>() <= 14 * 60, "{limits:?}");
    }

    #[test]
    fn sums_name_every_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/b"), "x").unwrap();
        assert_eq!(sums(folder.path()).unwrap(), 1);
        let text = std::fs::read_to_string(folder.path().join("SHA256SUMS")).unwrap();
        let x = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        assert_eq!(text, format!("{x}  a/b\n"));
    }
}
