//! `cargo xtask gpu`: one folder with all that a machine with a GPU has to show.
//!
//! A GPU is often lent for minutes, on a machine without network or compiler. The bundle holds
//! stripped programs, the peers' scripts and [`RUN`], which runs stages in the order of their worth,
//! each with a limit of time. `--rehearse` runs it here on the CPU, from a copy in an empty folder.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use sha2::{Digest, Sha256};

use super::program::{built, built_test};
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
    /// Run the bundle here, on the CPU, at small sizes
    #[arg(long)]
    pub(crate) rehearse: bool,
    /// Python with torch, timm, peft and torchvision, for the rehearsal
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    pub(crate) python: PathBuf,
}

impl Subcommand for Gpu {
    fn run(flags: &Self) -> Result<ExitCode> {
        let bytes = bundle(&flags.out)?;
        println!("{}: {:.1} MiB", flags.out.display(), bytes as f64 / f64::from(1 << 20));
        match flags.rehearse {
            true => rehearse(&flags.out, &flags.python),
            false => Ok(ExitCode::SUCCESS),
        }
    }
}

/// Makes the bundle anew and says how large it is.
fn bundle(folder: &Path) -> Result<u64> {
    ensure::libtorch()?;
    let programs = [
        ("polyptych", built("polyptych-cli", "polyptych")?),
        ("worker", built("polyptych-benches", "worker")?),
        ("xtask", built("xtask", "xtask")?),
        ("devices", built_test("polyptych-engine", "devices")?),
    ];
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    for (name, path) in &programs {
        stripped(path, &folder.join("bin").join(name))?;
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
    let bytes = sums(folder)?;
    if bytes > MAX_BYTES {
        bail!("{}: expected at most {MAX_BYTES} bytes, found {bytes}", folder.display());
    }
    Ok(bytes)
}

/// Copies a program without its symbols.
fn stripped(from: &Path, to: &Path) -> Result<()> {
    copied(from, to)?;
    process::step(Command::new("strip").arg(to))
}

fn copied(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("expected a path with a folder, found none")?;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    std::fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
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

/// All files below `folder`, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// Runs a copy of the bundle on the CPU, with nothing of this checkout in sight.
fn rehearse(bundle: &Path, python: &Path) -> Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    for path in files(bundle)? {
        copied(&path, &folder.path().join(workspace::below(bundle, &path)))?;
    }
    let mut command = Command::new("bash");
    command.arg(folder.path().join("run.sh")).arg("cpu").arg(folder.path().join("results"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("PYTHON", found(python)).env("HOME", folder.path());
    command.current_dir(folder.path()).stdin(Stdio::null());
    let start = Instant::now();
    let status = command.status().with_context(|| process::shown(&command))?;
    println!("rehearsed in {:.0} s", start.elapsed().as_secs_f64());
    if !status.success() {
        for path in files(&folder.path().join("results"))? {
            if path.extension().is_some_and(|end| end == "log") {
                println!("--- {}\n{}", path.display(), std::fs::read_to_string(&path)?);
            }
        }
    }
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A path is meant from here, a name from the search path.
fn found(program: &Path) -> PathBuf {
    match program.components().count() {
        1 => program.into(),
        _ => std::path::absolute(program).unwrap_or_else(|_| program.into()),
    }
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
        assert_eq!(limits.len(), 9);
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
