//! `cargo xtask bench`: our programs and PyTorch's, interleaved, and a table of the ratios.
//!
//! Every program is a process of its own that prepares itself and then runs one round whenever it
//! is asked to: see `benches/src/bin/worker` and `benches/peers`. Whatever else a machine does slows
//! all of them alike, and each has a peak of memory of its own.
//!
//! `--roofline` measures groups of kernels instead, beside what the machine can do.

mod agreement;
mod case;
mod cases;
pub(crate) mod flags;
mod forward;
mod growth;
mod page;
mod peers;
mod rates;
mod roofline;
mod setting;
mod spread;
mod worker;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::Subcommand;
use crate::process;
use crate::setup::ensure;
use case::Case;
use flags::Bench;
use page::{Program, Row};
use peers::{Peer, Programs};
use rates::{Ceilings, Neighbours};
use setting::Setting;
use worker::{Turn, Worker};

impl Subcommand for Bench {
    fn run(flags: &Self) -> Result<ExitCode> {
        if flags.list {
            cases::all().for_each(|case| println!("{case}"));
            return Ok(ExitCode::SUCCESS);
        }
        if flags.roofline {
            return roofline::run(flags);
        }
        let chosen = cases::chosen(&flags.cases)?;
        if flags.dry_run {
            dry_run(flags, &chosen);
            return Ok(ExitCode::SUCCESS);
        }
        if flags.peers {
            has_peers(&flags.python)?;
            absent_packages(&flags.python).iter().for_each(|package| {
                println!("left out: {} has no {package}", flags.python.display());
            });
        }
        let ours = flags.worker.clone().map_or_else(build, Ok)?;
        for case in chosen {
            for settings in groups(flags, case) {
                let rows = measure(flags, case, &settings, &ours)?;
                rows.iter().for_each(|row| println!("{row}"));
                page::note(&flags.out, rows)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn dry_run(flags: &Bench, chosen: &[&Case]) {
    for case in chosen {
        for setting in groups(flags, case).iter().flatten() {
            let folder = Path::new("FOLDER");
            let programs = Programs { worker: Path::new("worker"), python: &flags.python };
            let mut commands = vec![case.ours(programs, folder, setting)];
            if flags.peers {
                let peer = |peer: &Peer| peer.command(programs, folder, setting);
                commands.extend(wanted(flags, case, setting).into_iter().map(peer));
            }
            commands.iter().for_each(|command| println!("would run `{}`", process::shown(command)));
        }
    }
}

/// Settings that take turns: those that differ in tasks, batch or size alone, and int8 with the
/// bfloat16 of the rest of its model.
fn groups(flags: &Bench, case: &Case) -> Vec<Vec<Setting>> {
    let of = |precision: &String| {
        let sizes = flags.size.iter().flat_map(|&size| {
            flags
                .batch
                .iter()
                .flat_map(move |&batch| flags.tasks.iter().map(move |&tasks| (tasks, batch, size)))
        });
        let threads = flags.threads;
        let setting = |(tasks, batch, size)| {
            let tasks = if case.has_tasks { tasks } else { 1 };
            let (precision, device) = (precision.clone(), flags.device.clone());
            Setting { precision, tasks, batch, size, threads, device }
        };
        let mut settings: Vec<Setting> = sizes.map(setting).collect();
        settings.dedup();
        settings
    };
    let mut groups: Vec<Vec<Setting>> = Vec::new();
    for precision in &flags.precision {
        let beside =
            |group: &&mut Vec<Setting>| precision == "int8" && group[0].precision == "bf16";
        match groups.iter_mut().find(beside) {
            Some(group) => group.extend(of(precision)),
            None => groups.push(of(precision)),
        }
    }
    groups
}

/// The programs of one setting.
struct Entry<'s> {
    setting: &'s Setting,
    ours: Worker,
    peers: Vec<(&'static str, Worker)>,
    differences: Vec<agreement::Difference>,
}

fn measure(flags: &Bench, case: &Case, settings: &[Setting], ours: &Path) -> Result<Vec<Row>> {
    let folders = tempfile::tempdir()?;
    let mut entries = Vec::new();
    for (index, setting) in settings.iter().enumerate() {
        let folder = folders.path().join(index.to_string());
        std::fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        entries.push(entry(flags, case, setting, (ours, &folder))?);
    }
    let on_cpu = settings[0].device == "cpu";
    let mut ceilings = on_cpu.then(|| Ceilings::start(ours, &settings[0])).transpose()?;
    let _neighbours = Neighbours::start(ours, flags.neighbours, &settings[0])?;
    // The first round fills caches.
    for round in 0..=flags.rounds {
        ceilings.as_mut().map_or(Ok(()), Ceilings::round)?;
        let count = entries.len();
        for turn in 0..count {
            let entry = &mut entries[(turn + round as usize) % count];
            entry.round(round as usize)?;
        }
    }
    let first = entries[0].ours.turns()[1..].to_vec();
    let rates = ceilings.map(|ceilings| ceilings.rates(flags.neighbours));
    Ok(entries.iter().map(|entry| entry.row(case, &first).at(rates)).collect())
}

fn entry<'s>(
    flags: &Bench,
    case: &Case,
    setting: &'s Setting,
    (ours, folder): (&Path, &Path),
) -> Result<Entry<'s>> {
    let (mut peers, mut differences) = (Vec::new(), Vec::new());
    let programs = Programs { worker: ours, python: &flags.python };
    if flags.peers {
        let chosen = wanted(flags, case, setting);
        let mut certain = case.ours(programs, folder, setting);
        certain.arg("--certain");
        if chosen.iter().any(|peer| peer.reads_onnx) {
            certain.arg("--onnx");
        }
        Worker::start(certain)?.check()?;
        for peer in chosen {
            let mut worker = Worker::start(peer.command(programs, folder, setting))?;
            worker.check()?;
            differences.push(agreement::compare(folder, &setting.precision, case.outputs)?);
            peers.push((peer.name, worker));
        }
    }
    let ours = Worker::start(case.ours(programs, folder, setting))?;
    Ok(Entry { setting, ours, peers, differences })
}

impl Entry<'_> {
    /// All programs once; every round begins with another one.
    fn round(&mut self, round: usize) -> Result<()> {
        let mut all: Vec<&mut Worker> = std::iter::once(&mut self.ours)
            .chain(self.peers.iter_mut().map(|p| &mut p.1))
            .collect();
        let count = all.len();
        (0..count).try_for_each(|turn| all[(turn + round) % count].turn())
    }

    fn row(&self, case: &Case, first: &[Turn]) -> Row {
        let counted = |worker: &Worker| worker.turns()[1..].to_vec();
        let mine = counted(&self.ours);
        let peers = self.peers.iter().zip(&self.differences).map(|((name, worker), difference)| {
            Program::new(name, worker.versions(), &counted(worker), Some((&mine, *difference)))
        });
        let ours = Program::new("ours", self.ours.versions(), &mine, None).grown_from(first);
        Row::new(case, self.setting, mine.len(), (ours, peers.collect()))
    }
}

/// Those that are asked for, and that the Python has.
fn wanted(flags: &Bench, case: &Case, setting: &Setting) -> Vec<&'static Peer> {
    let absent = absent_packages(&flags.python);
    let asked_for = |peer: &&Peer| {
        !flags.without.iter().any(|words| peer.name.contains(words))
            && !peer.package.is_some_and(|package| absent.contains(&package))
    };
    case.peers_at(setting).filter(asked_for).collect()
}

/// Packages of some peers that `python` does not have.
fn absent_packages(python: &Path) -> Vec<&'static str> {
    let has = |package: &str| {
        let code = format!("import importlib.util as u; assert u.find_spec('{package}')");
        Command::new(python).args(["-c", &code]).stderr(Stdio::null()).status()
    };
    let missing = |package: &&str| !has(package).is_ok_and(|status| status.success());
    ["onnxruntime", "openvino", "webdataset", "datasets"].into_iter().filter(missing).collect()
}

/// Fails where PyTorch cannot be imported, and says what is needed.
fn has_peers(python: &Path) -> Result<()> {
    let mut command = Command::new(python);
    command.args(["-c", "import safetensors, torch, timm, peft, torchvision"]);
    command.stderr(Stdio::null());
    if !command.status().is_ok_and(|status| status.success()) {
        bail!(
            "{}: expected torch 2.11, torchvision, timm, peft and safetensors, found that one of \
             them is missing; install them there, or name another Python by `--python`",
            python.display()
        );
    }
    Ok(())
}

fn build() -> Result<PathBuf> {
    ensure::libtorch()?;
    crate::lab::program::built("polyptych-benches", "worker")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn flags(args: &[&str]) -> Bench {
        Bench::try_parse_from(["bench"].iter().chain(args)).unwrap()
    }

    #[test]
    fn types_are_apart_and_sizes_take_turns() {
        let flags = flags(&["--precision", "fp32,bf16", "--tasks", "1,8", "--batch", "2,4"]);
        let case = cases::chosen(&["mtlora".into()]).unwrap()[0];
        let groups = groups(&flags, case);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4]);
        assert!(groups[1].iter().all(|setting| setting.precision == "bf16"));
    }

    #[test]
    fn int8_takes_turns_with_what_it_is_compared_with() {
        let flags = flags(&["--precision", "fp32,bf16,int8", "--batch", "1,8"]);
        let case = cases::chosen(&["vit".into()]).unwrap()[0];
        let groups = groups(&flags, case);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(groups[1][2].precision, "int8");
    }

    #[test]
    fn what_has_no_tasks_is_measured_once() {
        let flags = flags(&["--tasks", "1,8"]);
        let case = cases::all().find(|case| !case.has_tasks).unwrap();
        assert_eq!(groups(&flags, case)[0].len(), 1);
    }

    #[test]
    fn peers_are_left_out_by_words_and_where_python_lacks_them() {
        let case = cases::chosen(&["vit".into()]).unwrap()[0];
        let names = |args: &[&str]| -> Vec<&str> {
            let flags = flags(&[&["--peers", "--python", "no-such-python"], args].concat());
            let setting = &groups(&flags, case)[0][0];
            wanted(&flags, case, setting).into_iter().map(|peer| peer.name).collect()
        };
        assert_eq!(names(&[]), ["timm", "timm, torch.compile"]);
        assert_eq!(names(&["--without", "OpenVINO,torch.compile"]), ["timm"]);
    }

    #[test]
    fn a_python_without_pytorch_is_refused() {
        let message = has_peers(Path::new("no-such-python")).unwrap_err().to_string();
        assert!(message.starts_with("no-such-python: expected torch 2.11"), "{message}");
    }
}
