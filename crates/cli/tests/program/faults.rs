//! What is done to a run from outside, and what is left of it.
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::{Playground, program};
#[cfg(target_os = "linux")]
use image::GrayImage;

const STEPS: [&str; 6] =
    ["--set", "train.steps=30", "--set", "train.eval_every=30", "--set", "train.save_every=2"];

/// A run in the background, and what it prints step by step.
struct Running {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Running {
    fn start(playground: &Playground, args: &[&str]) -> Self {
        let mut command = program(&playground.path(""));
        let mut child = command.args(args).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines: Box::new(lines.map_while(|line| line.ok())) }
    }

    /// Waits until the run in `folder` has logged `step`.
    fn wait_for_step(&mut self, folder: &Path, step: u64) {
        let (log, line) = (folder.join("metrics.jsonl"), format!("{{\"step\":{step},"));
        let is_done = || std::fs::read_to_string(&log).is_ok_and(|text| text.contains(&line));
        while !is_done() {
            if let Some(status) = self.child.try_wait().unwrap() {
                let said: Vec<String> = self.lines.by_ref().collect();
                panic!("the run ended before step {step}: {status}\n{}", said.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn wait_for(&mut self, what: &str) -> String {
        let found = self.lines.find(|line| line.contains(what));
        found.unwrap_or_else(|| panic!("no line with {what}"))
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

/// Every train line of `playground`, with the steps of these tests.
fn train<'a>(out: &'a str, sets: &[&'a str]) -> Vec<&'a str> {
    [&["train", "recipe.toml", "--out", out], &STEPS[..], sets].concat()
}

fn bytes(run: &Path, step: u64) -> [Vec<u8>; 2] {
    let folder = run.join(format!("checkpoints/step-{step:08}"));
    ["model", "optimiser"]
        .map(|name| std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap())
}

fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(run.join("checkpoints")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_run_that_is_killed_again_and_again_is_the_same_run() {
    let playground = Playground::new();
    playground.succeed(&train("whole", &[]));
    let mut killed = Running::start(&playground, &train("killed", &[]));
    for step in [3, 11, 20] {
        killed.wait_for_step(&playground.path("killed"), step);
        killed.signal("-KILL");
        assert!(!killed.child.wait().unwrap().success());
        killed = Running::start(&playground, &["train", "--resume", "killed"]);
    }
    assert!(killed.child.wait().unwrap().success());
    let ends = ["whole", "killed"].map(|run| bytes(&playground.path(run), 30));
    assert!(ends[0] == ends[1]);
}

#[test]
fn a_run_in_stages_that_is_killed_is_the_same_run() {
    let playground = Playground::new();
    let full = "{ name = \"all\", set = [\"adapter={ method = \\\"full\\\" }\"] }";
    let stages = format!("stage=[{{ name = \"adapt\", result = \"merge\" }}, {full}]");
    let sets = ["--set", stages.as_str()];
    let planned = playground.succeed(&[&train("none", &sets)[..], &["--dry-run"]].concat());
    let first = "stage 1 of 2, adapt: lora, from none, 30 steps of semseg, merged\n";
    assert!(planned.starts_with(first), "{planned}");
    assert!(planned.contains("stage 2 of 2, all: full, from RUN/stages/adapt/merged, 30 steps"));
    let said = playground.succeed(&train("whole", &sets));
    assert!(said.contains("forgetting"), "{said}");
    let mut killed = Running::start(&playground, &train("killed", &sets));
    for (folder, step) in [("killed/stages/adapt", 3), ("killed/stages/adapt", 21), ("killed", 11)]
    {
        killed.wait_for_step(&playground.path(folder), step);
        killed.signal("-KILL");
        assert!(!killed.child.wait().unwrap().success());
        killed = Running::start(&playground, &["train", "--resume", "killed"]);
    }
    assert!(killed.child.wait().unwrap().success());
    for stage in ["", "stages/adapt"] {
        let ends = ["whole", "killed"].map(|run| bytes(&playground.path(run).join(stage), 30));
        assert!(ends[0] == ends[1], "{stage}");
    }
}

#[test]
fn a_terminated_run_saves_and_goes_on() {
    let playground = Playground::new();
    playground.succeed(&train("whole", &[]));
    let mut run = Running::start(&playground, &train("stopped", &["--set", "train.save_every=30"]));
    run.wait_for_step(&playground.path("stopped"), 3);
    run.signal("-TERM");
    run.wait_for("continue with: polyptych train --resume stopped");
    assert_eq!(run.child.wait().unwrap().code(), Some(130));
    playground.succeed(&["train", "--resume", "stopped"]);
    let ends = ["whole", "stopped"].map(|run| bytes(&playground.path(run), 30));
    assert!(ends[0] == ends[1]);
}

#[test]
fn a_second_trainer_is_refused_and_the_first_goes_on() {
    let playground = Playground::new();
    let mut first = Running::start(&playground, &train("run", &["--set", "train.steps=200"]));
    first.wait_for_step(&playground.path("run"), 4);
    let message = playground.refused(&["train", "--resume", "run"]);
    assert_eq!(message, "run: expected no other trainer in this folder, found one at work");
    first.wait_for_step(&playground.path("run"), 8);
    first.signal("-KILL");
    first.child.wait().unwrap();
}

#[test]
fn a_folder_that_is_removed_ends_the_run_by_name() {
    let playground = Playground::new();
    let mut run = Running::start(&playground, &train("run", &["--set", "train.steps=100000"]));
    run.wait_for_step(&playground.path("run"), 3);
    // The run writes while its folder goes.
    while playground.path("run").exists() {
        let _ = std::fs::remove_dir_all(playground.path("run"));
    }
    let message = run.wait_for("error: ");
    assert!(message.contains("No such file or directory"), "{message}");
    assert_eq!(run.child.wait().unwrap().code(), Some(1));
    assert!(!playground.path("run").exists());
}

/// A limit on the length of files stands for a disk that is full: checkpoints do not fit.
#[test]
fn a_full_disk_ends_the_run_and_keeps_the_last_checkpoint() {
    let playground = Playground::new();
    let mut run = Running::start(&playground, &train("run", &[]));
    run.wait_for_step(&playground.path("run"), 4);
    run.signal("-INT");
    run.child.wait().unwrap();
    let before = checkpoints(&playground.path("run"));
    let limited = format!(
        "trap '' XFSZ; ulimit -f 16; exec {} train --resume run",
        program(Path::new("")).get_program().to_str().unwrap()
    );
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", &limited]).current_dir(playground.path("")).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("model.safetensors: File too large"), "{message}");
    assert_eq!(before, checkpoints(&playground.path("run")));
    playground.succeed(&["train", "--resume", "run"]);
    playground.succeed(&train("whole", &[]));
    let ends = ["whole", "run"].map(|run| bytes(&playground.path(run), 30));
    assert!(ends[0] == ends[1]);
}

/// A picture takes more memory than the process may have: its reader says so.
#[cfg(target_os = "linux")]
#[test]
fn a_worker_without_memory_ends_the_run_by_name() {
    let playground = Playground::new();
    let long = ["--set", "train.steps=100000", "--set", "train.save_total_limit=100000"];
    let mut run = Running::start(&playground, &train("run", &long));
    run.wait_for_step(&playground.path("run"), 5);
    limit_memory(&run.child);
    let (photograph, large) = (playground.photograph("b"), playground.path("large.png"));
    let kept = std::fs::read(&photograph).unwrap();
    GrayImage::new(8000, 8000).save(&large).unwrap();
    std::fs::rename(&large, &photograph).unwrap();
    let message = run.wait_for("error: ");
    let expected = "b.jpg: not a readable PNG image: expected 192000000 bytes of free memory";
    assert!(message.contains(expected), "{message}");
    assert_eq!(run.child.wait().unwrap().code(), Some(1));
    // The picture is mended, and the run goes on where it was saved last.
    std::fs::write(&photograph, kept).unwrap();
    let newest = checkpoints(&playground.path("run")).into_iter().max().unwrap();
    let step = 2 + newest.to_str().unwrap().rsplit('-').next().unwrap().parse::<u64>().unwrap();
    let resume = ["train", "--resume", "run"].map(str::to_owned).to_vec();
    let whole = train("whole", &long).into_iter().map(str::to_owned).collect();
    for (name, args) in [("run", resume), ("whole", whole)] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut run = Running::start(&playground, &args);
        run.wait_for_step(&playground.path(name), step + 1);
        run.signal("-INT");
        assert_eq!(run.child.wait().unwrap().code(), Some(130));
    }
    let there = ["run", "whole"].map(|run| bytes(&playground.path(run), step));
    assert!(there[0] == there[1]);
}

/// Leaves a process 64 MiB of addresses more than those that it has.
#[cfg(target_os = "linux")]
fn limit_memory(process: &Child) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kib: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    let (pid, limit) = (process.id().to_string(), format!("--as={}", (kib + 65_536) * 1024));
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
}

#[test]
fn a_folder_that_cannot_be_written_leaves_nothing() {
    let playground = Playground::new();
    let message = playground.refused(&train("/proc/run", &[]));
    assert!(message.starts_with("/proc/run"), "{message}");
}

#[test]
fn a_run_that_no_step_ended_has_nothing_to_replay() {
    let playground = Playground::new();
    playground.succeed(&["train", "recipe.toml", "--out", "run"]);
    let message = playground.refused(&["replay", "run"]);
    assert!(
        message.starts_with("run: expected a run that stopped at NaN or infinite values"),
        "{message}"
    );
}

/// Learning so fast that numbers overflow: the run ends, and its last step can be looked at.
#[test]
fn a_run_whose_numbers_overflow_is_replayed() {
    let playground = Playground::new();
    // No checkpoint was saved before.
    let sets =
        ["--set", "train.lr=1e38", "--set", "train.max_skipped=2", "--set", "train.save_every=30"];
    let message = playground.refused(&train("run", &sets));
    let expected =
        "was NaN or infinite for 2 steps in a row; the state before the last step is in run/dump";
    assert!(message.contains(expected), "{message}");
    assert!(message.contains("; `polyptych replay run` repeats the step "), "{message}");
    let replay = playground.succeed(&["replay", "run"]);
    assert!(replay.contains("NaN  semseg") || replay.contains("inf  semseg"), "{replay}");
    assert!(replay.ends_with("the repeated step equals the recorded one\n"), "{replay}");
}
