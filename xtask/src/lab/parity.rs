//! `cargo xtask parity`: our backbones beside timm's, TorchVision's and Hugging Face's, at many
//! sizes and windows, as a page of the documentation.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::command::Subcommand;
use crate::process;
use crate::setup::ensure;
use crate::workspace;

const SCRIPT: &str = "benches/peers/parity.py";
const PAGE: &str = "docs/results/parity.md";
const HEAD: &str = "# Parity\n
What our backbones give beside the packages that their weights come from.
`cargo xtask parity --python PYTHON` wrote this page: small models with random values that the
package drew, one image each, float32 on the CPU; logits, or tokens where there is no classifier,
and beside timm's newer models the pooled features and the levels for dense heads.
A number is the largest difference over the largest output. One in bold is above 1e-4.\n
Our Swin is timm's: windows are no larger than a stage's map, by each side, and a map is rolled
before it is padded to whole windows.
TorchVision and Hugging Face pad a map before they roll it, and leave windows and their tables as
large as they are; so they give other numbers where windows do not fill every map.
Their weights load at such sizes, tables fitted as timm fits them, and compute what timm computes.\n
ViTs are measured at sizes that whole patches fill, and so are Swin V2, PVT v2, ConvNeXt and Hiera
at sizes of whole strides or units.
\"Built for N\" is a model for images of N x N that is asked for another size: positions and tables
are resampled in both packages. timm's Hiera runs at the size that it was built for alone.\n
";

/// Compare backbones with timm's, TorchVision's and Hugging Face's at many sizes, as a page
#[derive(Parser)]
#[command(name = "parity")]
pub(crate) struct Parity {
    /// Python with torch, timm, torchvision, transformers and safetensors
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    pub(crate) python: PathBuf,
    /// The page [default: docs/results/parity.md]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Subcommand for Parity {
    fn run(flags: &Self) -> Result<ExitCode> {
        let folder = workspace::root().join("target/parity");
        let [mut peers, mut ours] = [peers(&flags.python, &folder), ours(&folder)];
        if flags.dry_run {
            println!("would run `{}` and `{}`", process::shown(&peers), process::shown(&ours));
            return Ok(ExitCode::SUCCESS);
        }
        ensure::libtorch()?;
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        succeed(&mut peers)?;
        let measured = succeed(ours.stdout(Stdio::piped()))?;
        let page = flags.out.clone().unwrap_or_else(|| workspace::root().join(PAGE));
        std::fs::write(&page, format!("{HEAD}{measured}"))
            .with_context(|| page.display().to_string())?;
        println!("{}", page.display());
        Ok(ExitCode::SUCCESS)
    }
}

fn peers(python: &Path, folder: &Path) -> Command {
    let mut command = Command::new(python);
    command.current_dir(workspace::root()).arg(SCRIPT).arg(folder);
    command
}

fn ours(folder: &PathBuf) -> Command {
    let mut command = workspace::cargo_command();
    command.current_dir(workspace::root());
    command.args(["run", "--package", "polyptych-backbones", "--example", "parity", "--"]);
    command.arg(folder);
    command
}

/// What a command that must succeed printed, where it is kept.
fn succeed(command: &mut Command) -> Result<String> {
    let child = command.stderr(Stdio::inherit()).spawn();
    let output = child.and_then(|child| child.wait_with_output());
    let output = output.with_context(|| process::shown(command))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", process::shown(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_named() {
        let message = succeed(&mut peers(Path::new("false"), Path::new("nowhere"))).unwrap_err();
        assert!(message.to_string().starts_with("`false benches/peers/parity.py nowhere` failed"));
    }
}
