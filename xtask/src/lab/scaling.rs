//! `cargo xtask scaling`: what do two processes gain over one, and what does their communication
//! cost?
//!
//! `polyptych train` in one process of one thread, in one of two, in two of one that train one
//! model, and in two that know nothing of each other, at the same batch; with `--peers` PyTorch's DDP on the same work (`benches/peers/ddp.py`).

pub(crate) mod flags;
mod measured;
mod page;
mod work;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::command::Subcommand;
use crate::lab::program::{self, Program};
use crate::{process, workspace};
use flags::Scaling;
use measured::{Measured, WARM_UP};
use page::{OURS, Row};
use work::{Layout, RECIPE, Work};

/// Folder of all runs, below the current one.
const RUNS: &str = "runs/scaling";

const PEER: &str = "PyTorch DDP";

impl Subcommand for Scaling {
    fn run(flags: &Self) -> Result<ExitCode> {
        let folder = Path::new(RUNS);
        let _lock = program::lock(folder)?;
        let program = Program::given_or_built(flags.program.as_deref(), folder)?;
        let recipe = folder.join("recipe.toml");
        std::fs::write(&recipe, RECIPE).with_context(|| recipe.display().to_string())?;
        let chosen = if flags.work.is_empty() { &Work::ALL[..] } else { &flags.work };
        let mut rows = Vec::new();
        for &work in chosen {
            for layout in Layout::ALL {
                let measured = ours(flags, &program, &recipe, (work, layout))?;
                rows.push(row(flags, (work, layout), OURS, measured));
                if flags.peers {
                    let measured = peer(flags, (work, layout))?;
                    rows.push(row(flags, (work, layout), PEER, measured));
                }
            }
        }
        let page = page::note(&flags.out, rows, &command(flags))?;
        println!("{}", page.display());
        Ok(ExitCode::SUCCESS)
    }
}

fn row(flags: &Scaling, (work, layout): (Work, Layout), program: &str, measured: Measured) -> Row {
    eprintln!("{program}, {}, {layout}: {:.1} ms a step", work.title(), measured.step_ms);
    Row { work, program: program.to_owned(), layout, batch: flags.batch, measured }
}

fn ours(
    flags: &Scaling,
    program: &Program,
    recipe: &Path,
    (work, layout): (Work, Layout),
) -> Result<Measured> {
    let runs: Vec<PathBuf> = (0..layout.models())
        .map(|model| recipe.with_file_name(format!("{}-{layout}-{model}", work.name())))
        .collect();
    let mut started = Vec::new();
    for run in &runs {
        if run.exists() {
            std::fs::remove_dir_all(run).with_context(|| run.display().to_string())?;
        }
        let mut command = training(flags, program, recipe, (work, layout));
        command.arg("--out").arg(run).stdout(Stdio::null()).stderr(Stdio::null());
        started.push(command.spawn().with_context(|| process::shown(&command))?);
    }
    for (mut child, run) in started.into_iter().zip(&runs) {
        let status = child.wait()?;
        ensure!(status.success(), "{}: {status}", run.display());
    }
    Measured::mean(runs.iter().map(|run| Measured::of_run(run)).collect::<Result<_>>()?)
}

/// Training of one model, of the part of the batch that is its own.
fn training(
    flags: &Scaling,
    program: &Program,
    recipe: &Path,
    (work, layout): (Work, Layout),
) -> Command {
    let mut command = program.command("train");
    command.arg(recipe);
    if layout.ranks > layout.models() {
        command.args(["--nproc-per-node", &layout.ranks.to_string()]);
    }
    let (steps, batch) = (flags.steps, flags.batch / layout.models());
    for set in [
        work.adapter().to_owned(),
        format!("data.batch_size={batch}"),
        // Images are drawn in the first epoch, by threads that would take the cores of the others.
        format!("data.train.0.len={}", batch * WARM_UP),
        format!("train.steps={steps}"),
        format!("train.eval_every={steps}"),
        format!("train.save_every={steps}"),
    ] {
        command.args(["--set", &set]);
    }
    for variable in ["OMP_NUM_THREADS", "RAYON_NUM_THREADS"] {
        command.env(variable, layout.threads.to_string());
    }
    command
}

fn peer(flags: &Scaling, (work, layout): (Work, Layout)) -> Result<Measured> {
    let mut command = Command::new(&flags.python);
    command.arg(workspace::root().join("benches/peers/ddp.py")).arg(work.name());
    for (flag, value) in [
        ("--ranks", layout.ranks),
        ("--threads", layout.threads),
        ("--batch", flags.batch),
        ("--steps", flags.steps as usize),
        ("--warm-up", WARM_UP),
    ] {
        command.args([flag, &value.to_string()]);
    }
    if !layout.joined {
        command.arg("--apart");
    }
    command.env("OMP_NUM_THREADS", layout.threads.to_string());
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| process::shown(&command))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", process::shown(&command), output.status);
    }
    Measured::of_peer(&String::from_utf8_lossy(&output.stdout))
}

/// The command as one would type it again.
fn command(flags: &Scaling) -> String {
    let peers = if flags.peers { " --peers" } else { "" };
    format!("cargo xtask scaling --batch {} --steps {}{peers}", flags.batch, flags.steps)
}
