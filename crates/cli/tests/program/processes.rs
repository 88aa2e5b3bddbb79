//! `polyptych train --nproc-per-node`: one machine, several processes.
use crate::common::Playground;

const TWO: [&str; 2] = ["--nproc-per-node", "2"];

#[test]
fn the_flag_starts_processes_that_train_as_one() {
    let playground = Playground::new();
    let table = playground.succeed(&[&["train", "recipe.toml", "--out", "run"], &TWO[..]].concat());
    assert_eq!(table.matches("| semseg | miou [%] | higher is better |").count(), 1, "{table}");
    let log = std::fs::read_to_string(playground.path("run/metrics.jsonl")).unwrap();
    assert_eq!(log.matches("\"world_size\":2").count(), 4, "{log}");
    let read = |file: &str| std::fs::read_to_string(playground.path(file)).unwrap();
    let record = read("run/provenance.json");
    assert!(record.contains("\"world_size\":2,\"backend\":\"gloo\""), "{record}");
    for rank in ["run/logs/rank-0.log", "run/logs/rank-1.log"].map(read) {
        assert!(rank.contains(" images/s  ") && rank.contains("2 processes over gloo"), "{rank}");
    }
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
             evaluation, threads that decode: "
        )
    };
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with(&line(0)) && lines[1].starts_with(&line(1)), "{said}");
    let bytes = lines[2].strip_prefix("gradients of a step: ").unwrap();
    let (all, sent) = bytes.split_once(" bytes, of which a ring sends ").unwrap();
    assert_eq!(sent, format!("{all} from each rank"));
    assert!(!playground.path("runs").exists());
}

#[test]
fn a_dry_run_refuses_what_no_model_can_be() {
    let playground = Playground::new();
    let head = "tasks.semseg.head={name=\"linear\"}";
    let message = playground.refused(&["train", "recipe.toml", "--dry-run", "--set", head]);
    assert!(message.contains("tasks.semseg: head: expected"), "{message}");
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

#[test]
fn nccl_without_a_gpu_is_refused() {
    let playground = Playground::new();
    let args = ["train", "recipe.toml", "--out", "run", "--dist-backend", "nccl"];
    let output = playground.run(&[&args[..], &TWO].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = "--dist-backend nccl: expected a model on a GPU, found one on cpu; use gloo";
    assert!(said.contains(expected), "{said}");
    assert!(!playground.path("run").exists());
}

/// Two machines with copies of a data set, one of which has another photograph.
#[test]
fn processes_with_other_data_are_refused() {
    let machines = [Playground::new(), Playground::new()];
    let mut photograph = std::fs::read(machines[1].photograph("b")).unwrap();
    photograph.push(0);
    std::fs::write(machines[1].photograph("b"), photograph).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let start = |rank: usize| {
        crate::common::program(&machines[rank].path(""))
            .args(["train", "recipe.toml", "--out", "run", "--dist-timeout", "60"])
            .envs([("RANK", rank.to_string()), ("WORLD_SIZE", "2".into())])
            .envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", &port)])
            .env("GLOO_SOCKET_IFNAME", "lo")
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    for child in [start(0), start(1)] {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("data sets: rank 1 has ") || said.contains("failed: "), "{said}");
    }
    assert!(machines.iter().all(|machine| !machine.path("run").exists()));
}

/// As `torchrun` starts processes anew: the same command, and a count of restarts.
#[test]
fn a_restart_finds_the_newest_whole_checkpoint() {
    let playground = Playground::new();
    let save = ["--set", "train.save_every=1", "--set", "train.save_total_limit=4"];
    let args = [&["train", "recipe.toml", "--out", "run"], &save[..]].concat();
    playground.succeed(&[&args[..], &["--set", "train.steps=3"], &TWO].concat());
    let cut = playground.path("run/checkpoints/step-00000003/model.safetensors");
    let whole = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let output = crate::common::program(&playground.path(""))
        .args(args)
        .env("RANK", "0")
        .env("WORLD_SIZE", "1")
        .env("MASTER_ADDR", "127.0.0.1")
        .env("MASTER_PORT", "1")
        .env("TORCHELASTIC_RESTART_COUNT", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("restarted, continuing from the newest checkpoint"), "{said}");
    assert!(said.contains("step 3/3"), "{said}");
}

#[cfg(target_os = "linux")]
mod signals {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A run of many steps in two processes, which have done some of them.
    fn started(playground: &Playground) -> (Child, impl Iterator<Item = String>) {
        let args = ["train", "recipe.toml", "--out", "run", "--set", "train.steps=100000"];
        let mut child = crate::common::program(&playground.path(""))
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
