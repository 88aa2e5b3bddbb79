//! `polyptych train --nproc-per-node`: one machine, several processes.
#![allow(clippy::unwrap_used)]

mod common;

use common::Playground;

const TWO: [&str; 2] = ["--nproc-per-node", "2"];

#[test]
fn the_flag_starts_processes_that_train_as_one() {
    let playground = Playground::new();
    let table = playground.succeed(&[&["train", "recipe.toml", "--out", "run"], &TWO[..]].concat());
    assert_eq!(table.matches("| semseg | miou [%] | higher is better |").count(), 1, "{table}");
    let log = std::fs::read_to_string(playground.path("run/metrics.jsonl")).unwrap();
    assert_eq!(log.matches("\"world_size\":2").count(), 4, "{log}");
    let one = ["train", "--resume", "run", "--set", "train.steps=6"];
    playground.succeed(&one);
    let more = ["train", "--resume", "run", "--set", "train.steps=8"];
    playground.succeed(&[&more[..], &TWO].concat());
}

#[test]
fn a_dry_run_says_what_every_process_would_do() {
    let playground = Playground::new();
    let args = ["train", "recipe.toml", "--dry-run", "--nproc-per-node", "2"];
    let said = playground.succeed(&args);
    let line = |rank: usize| {
        format!(
            "rank {rank} of 2: 1 of the 2 images of each of 4 steps, 1 of the 2 batches of an \
             evaluation\n"
        )
    };
    assert_eq!(said, line(0) + &line(1));
    assert!(!playground.path("runs").exists());
}

#[test]
fn a_mistake_ends_all_of_them() {
    let playground = Playground::new();
    let args = ["train", "recipe.toml", "--out", "run", "--set", "data.batch_size=1"];
    let output = playground.run(&[&args[..], &TWO].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = "data.batch_size: expected at least 2 images in a batch, 1 for each of 2";
    assert!(said.contains(expected), "{said}");
    assert!(!playground.path("run").exists());
}

#[cfg(target_os = "linux")]
mod signals {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A run of many steps in two processes, which have done some of them.
    fn started(playground: &Playground) -> (Child, impl Iterator<Item = String>) {
        let args = ["train", "recipe.toml", "--out", "run", "--set", "train.steps=100000"];
        let mut child = common::program(&playground.path(""))
            .args(args)
            .args(TWO)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut lines = lines.map(|line| line.unwrap());
        lines.find(|line| line.starts_with("step ")).unwrap();
        (child, lines)
    }

    fn send(signal: &str, pid: &str) {
        assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
    }

    #[test]
    fn an_interrupt_goes_on_to_all() {
        let playground = Playground::new();
        let (mut child, lines) = started(&playground);
        send("-TERM", &child.id().to_string());
        let rest: Vec<String> = lines.collect();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
        assert!(rest.iter().any(|line| line.starts_with("stopped after step ")), "{rest:?}");
        let saved = std::fs::read_dir(playground.path("run/checkpoints")).unwrap().count();
        assert!(saved > 0, "{rest:?}");
    }

    #[test]
    fn a_killed_process_is_named_and_its_signal_is_the_exit_code() {
        let playground = Playground::new();
        let (mut child, lines) = started(&playground);
        let id = child.id();
        let all = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let rank_1 = all.split_whitespace().find(|pid| {
            let variables = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
            variables.split(|byte| *byte == 0).any(|variable| variable == b"RANK=1")
        });
        send("-KILL", rank_1.unwrap());
        let rest: Vec<String> = lines.collect();
        assert_eq!(child.wait().unwrap().code(), Some(137), "{rest:?}");
        assert!(rest.iter().any(|line| line.contains("rank 1 is gone")), "{rest:?}");
        assert!(
            rest.iter().any(|line| line.starts_with("rank 1 ended with signal: 9")),
            "{rest:?}"
        );
    }
}
