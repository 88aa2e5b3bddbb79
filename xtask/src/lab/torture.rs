//! `cargo xtask torture`: does a run survive being killed, again and again?
//!
//! One run is left alone. Another is killed (SIGKILL) at random moments and resumed until it ends;
//! then the next one, until there were enough kills. Every kill is looked at: which checkpoint was
//! there before, which is there now. Every run that ends must have the bytes of the one left alone.

pub(crate) mod flags;
mod moment;
mod ranks;
mod report;
mod victim;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::command::Subcommand;
use crate::lab::machine::Origin;
use crate::lab::program::{self, Program};
use crate::lab::recipe;
use crate::lab::soak::series::Series;
use crate::process;
use flags::Torture;
use ranks::{End, Target};
use report::Report;
use victim::Victim;

/// Folder of all runs, below the current one.
const RUNS: &str = "runs/torture";

/// Evaluations of a run, at which its log tells the memory.
const EVALUATIONS: u64 = 4;

impl Subcommand for Torture {
    fn run(flags: &Self) -> Result<ExitCode> {
        let folder = Path::new(RUNS);
        let _lock = program::lock(folder)?;
        let program = Program::given_or_built(flags.program.as_deref(), folder)?;
        let origin = Origin::read();
        let job = Job { flags, program, recipe: recipe::file(&flags.recipe) };
        let started = Instant::now();
        let whole = job.left_alone(&folder.join("whole"))?;
        let memory = Series::read("left alone", &whole)?;
        let mut report = Report::of(memory.points);
        let mut rng = Pcg64::seed_from_u64(flags.seed);
        while report.kills < flags.kills {
            job.kill_until_it_ends(&folder.join("victim"), &mut rng, &mut report)?;
            victim::same(&whole, &folder.join("victim"))?;
            report.runs += 1;
            eprintln!(
                "run {}: {} kills, the bytes of the run left alone",
                report.runs, report.kills
            );
        }
        report.seconds = started.elapsed().as_secs_f64();
        let page = report.write(flags, &origin)?;
        println!("{}", page.display());
        Ok(ExitCode::SUCCESS)
    }
}

struct Job<'a> {
    flags: &'a Torture,
    program: Program,
    recipe: PathBuf,
}

impl Job<'_> {
    fn left_alone(&self, folder: &Path) -> Result<PathBuf> {
        victim::remove(folder)?;
        let mut command = self.start(folder);
        process::step(command.stderr(Stdio::null()))?;
        Ok(folder.to_owned())
    }

    /// One run from its start to its end, killed on the way.
    fn kill_until_it_ends(
        &self,
        folder: &Path,
        rng: &mut Pcg64,
        report: &mut Report,
    ) -> Result<()> {
        victim::remove(folder)?;
        let mut victim = Victim::new(folder);
        loop {
            let life = Duration::from_secs_f64(rng.random::<f64>() * self.flags.life);
            let life = (report.kills < self.flags.kills).then_some(life);
            let mut command =
                if victim.is_run() { self.resume(folder) } else { self.start(folder) };
            if self.ends(&mut command, life, rng, report)? {
                return Ok(());
            }
            report.count(&victim.look()?)?;
        }
    }

    /// Whether `command` ended by itself within `life`; it, or one of its processes, is killed
    /// otherwise.
    fn ends(
        &self,
        command: &mut Command,
        life: Option<Duration>,
        rng: &mut Pcg64,
        report: &mut Report,
    ) -> Result<bool> {
        let count = usize::from(self.flags.nproc);
        let Some(life) = life.filter(|_| count > 1) else { return live(command, life) };
        let drawn = rng.random_range(0..=count);
        let target = if drawn == count { Target::Starter } else { Target::Rank(drawn) };
        match ranks::live(command, life, target)? {
            End::Done => Ok(true),
            End::Killed { named } => {
                report.count_target(target, named);
                Ok(false)
            }
        }
    }

    /// The flag of several processes.
    fn among(&self, command: &mut Command) {
        if self.flags.nproc > 1 {
            command.args(["--nproc-per-node", &self.flags.nproc.to_string()]);
        }
    }

    fn start(&self, folder: &Path) -> Command {
        let mut command = self.program.command("train");
        let steps = self.flags.steps;
        command.arg(&self.recipe).arg("--out").arg(folder);
        for set in [
            format!("train.steps={steps}"),
            format!("train.eval_every={}", steps.div_ceil(EVALUATIONS)),
            "train.save_every=1".into(),
            "compare=[]".into(),
        ] {
            command.args(["--set", &set]);
        }
        command.args(self.flags.sets.iter().flat_map(|set| ["--set", set]));
        self.among(&mut command);
        command.stdout(Stdio::null());
        command
    }

    fn resume(&self, folder: &Path) -> Command {
        let mut command = self.program.command("train");
        command.arg("--resume").arg(folder).stdout(Stdio::null());
        self.among(&mut command);
        command
    }
}

/// Whether `command` ended by itself within `life`; it is killed otherwise.
fn live(command: &mut Command, life: Option<Duration>) -> Result<bool> {
    let shown = process::shown(command);
    let mut child = command.stderr(Stdio::piped()).spawn().with_context(|| shown.clone())?;
    let end = life.map(|life| Instant::now() + life);
    while child.try_wait()?.is_none() {
        if end.is_some_and(|end| Instant::now() >= end) {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("`{shown}`: expected it to go on, {}: {said}", output.status);
    }
    Ok(true)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    #[test]
    fn a_process_ends_is_killed_or_fails() {
        assert!(live(&mut shell("true"), None).unwrap());
        assert!(!live(&mut shell("sleep 20"), Some(Duration::from_millis(5))).unwrap());
        let message = live(&mut shell("echo broken >&2; exit 3"), None).unwrap_err().to_string();
        assert!(message.contains("expected it to go on") && message.ends_with("broken"));
    }
}
