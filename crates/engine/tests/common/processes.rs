//! Real processes over loopback: a test's own program, started once for each rank.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use polyptych_engine::{Environment, KeyStore, Ranks};

const TIMEOUT: Duration = Duration::from_secs(120);
const FOLDER: &str = "POLYPTYCH_TEST_FOLDER";
const PART: &str = "POLYPTYCH_TEST_PART";

/// What a started process is asked to do.
pub(crate) struct Asked {
    pub(crate) ranks: Ranks,
    pub(crate) folder: PathBuf,
    pub(crate) part: String,
}

/// What this process was started for; none in the one that a person has started.
pub(crate) fn asked() -> Option<Asked> {
    let environment = Environment::from_process().unwrap()?;
    let ranks = Ranks::join(environment, TIMEOUT).unwrap();
    let folder = std::env::var(FOLDER).unwrap().into();
    Some(Asked { ranks, folder, part: std::env::var(PART).unwrap() })
}

/// Runs the test `name` in `size` processes, which are asked for `part` of it in `folder`.
pub(crate) fn run(name: &str, part: &str, size: usize, folder: &Path) -> Vec<Output> {
    let store = KeyStore::serve("127.0.0.1", 0, "", TIMEOUT).unwrap();
    let start = |rank: usize| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env("RANK", rank.to_string())
            .env("WORLD_SIZE", size.to_string())
            .env("MASTER_ADDR", "127.0.0.1")
            .env("MASTER_PORT", store.port().to_string())
            .env("TORCHELASTIC_USE_AGENT_STORE", "True")
            .env("GLOO_SOCKET_IFNAME", "lo")
            .env("OMP_NUM_THREADS", "1")
            .env(FOLDER, folder)
            .env(PART, part)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..size).map(start).collect();
    children.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

/// As [`run`]; all processes must succeed.
pub(crate) fn run_well(name: &str, part: &str, size: usize, folder: &Path) {
    for (rank, output) in run(name, part, size, folder).into_iter().enumerate() {
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "rank {rank}: {}", String::from_utf8_lossy(&said));
    }
}
