//! `polyptych train` from nothing to its first step.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use polyptych_benches::Quartiles;
use polyptych_engine::library_folder;
use tempfile::TempDir;

use crate::table::shown;

/// Says to this program that it is `polyptych`.
const PROGRAM: &str = "POLYPTYCH_BENCH_IS_PROGRAM";
/// A start that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// Name, and arguments behind `train`.
pub(crate) const CASES: [(&str, &[&str]); 2] = [
    ("`quickstart`, as it is", &["quickstart"]),
    (
        "`quickstart` with Swin-T of random weights at 224 px",
        &[
            "quickstart",
            "--set",
            "backbone.name=swin_tiny_patch4_window7_224",
            "--set",
            "backbone.weights=none",
            "--set",
            "data.batch_size=4",
            "--set",
            "data.img_size=[224, 224]",
        ],
    ),
];

/// Whether this process is to be `polyptych`.
pub(crate) fn is_program() -> bool {
    std::env::var_os(PROGRAM).is_some()
}

/// The program and LibTorch, in files that no other process has open: what others read stays in the
/// page cache.
struct Copies {
    folder: TempDir,
    program: PathBuf,
    libraries: PathBuf,
}

/// One start.
#[derive(Clone, Copy)]
struct Found {
    seconds: f64,
    /// Bytes that came from the disk; none where the system does not count them.
    read: Option<u64>,
}

pub(crate) fn table(starts: usize, rounds: usize) -> String {
    let copies = Copies::new();
    let mut text =
        String::from("| what starts | warm | cold | read when cold, MB |\n|---|---|---|---|\n");
    let (warm, cold): (Vec<_>, Vec<_>) =
        (0..=rounds).map(|_| (copies.version(false), copies.version(true))).unzip();
    write_row(&mut text, "`polyptych --version`: the process and its libraries", &warm, &cold);
    for (index, (what, arguments)) in CASES[..starts].iter().enumerate() {
        let run = |round: usize, cold: bool| {
            let out = copies.folder.path().join(format!("run-{index}-{round}-{cold}"));
            copies.train(arguments, &out, cold)
        };
        let (warm, cold): (Vec<_>, Vec<_>) =
            (0..=rounds).map(|round| (run(round, false), run(round, true))).unzip();
        write_row(&mut text, what, &warm, &cold);
    }
    text
}

/// The first start of each fills caches.
fn write_row(text: &mut String, what: &str, warm: &[Found], cold: &[Found]) {
    let seconds =
        |all: &[Found]| shown(Quartiles::of(all[1..].iter().map(|found| found.seconds).collect()));
    let read: Option<Vec<f64>> =
        cold[1..].iter().map(|found| Some(found.read? as f64 / 1e6)).collect();
    let read = read.map_or_else(|| "-".into(), |mb| format!("{:.0}", Quartiles::of(mb).median));
    writeln!(text, "| {what} | {} | {} | {read} |", seconds(warm), seconds(cold))
        .expect("text grows");
}

impl Copies {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is a folder for files");
        let libraries = folder.path().join("lib");
        std::fs::create_dir(&libraries).expect("the folder is writable");
        for file in std::fs::read_dir(library_folder()).expect("LibTorch lies there").flatten() {
            if file.path().is_file() {
                copy(&file.path(), &libraries.join(file.file_name()));
            }
        }
        let program = folder.path().join("polyptych");
        copy(&std::env::current_exe().expect("the program has a path"), &program);
        Self { folder, program, libraries }
    }

    fn version(&self, cold: bool) -> Found {
        let mut child = Started::new(self, &["--version"], cold);
        let read = child.ended();
        Found { seconds: child.at.elapsed().as_secs_f64(), read }
    }

    fn train(&self, arguments: &[&str], out: &Path, cold: bool) -> Found {
        let to = out.display().to_string();
        let arguments = [&["train"], arguments, &["--set", "device=cpu", "--out", &to]].concat();
        let mut child = Started::new(self, &arguments, cold);
        let log = out.join("metrics.jsonl");
        while !std::fs::read(&log).is_ok_and(|text| text.contains(&b'\n')) {
            let running = child.process.try_wait().expect("the process is ours").is_none();
            assert!(running, "polyptych {} has ended without a step", arguments.join(" "));
            assert!(child.at.elapsed() < PATIENCE, "no first step within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        Found { seconds: child.at.elapsed().as_secs_f64(), read: child.read() }
    }

    /// Drops program and libraries from the page cache.
    fn drop_from_memory(&self) {
        let libraries = std::fs::read_dir(&self.libraries).expect("it was made above").flatten();
        let files = libraries.map(|file| file.path()).chain([self.program.clone()]);
        for file in files {
            let name = format!("if={}", file.display());
            let mut command = Command::new("dd");
            command.args([name.as_str(), "iflag=nocache", "count=0", "status=none"]);
            assert!(command.status().is_ok_and(|status| status.success()), "{command:?}");
        }
    }
}

/// Copies a file to the disk: what waits to be written stays in memory.
fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).expect("there is room");
    let written = std::fs::File::open(to).and_then(|file| file.sync_all());
    written.expect("the file was just written");
}

/// A process that is ended when it is dropped.
struct Started {
    process: Child,
    at: Instant,
}

impl Started {
    fn new(copies: &Copies, arguments: &[&str], cold: bool) -> Self {
        if cold {
            copies.drop_from_memory();
        }
        let mut command = Command::new(&copies.program);
        command.args(arguments).env(PROGRAM, "1").env("LD_LIBRARY_PATH", &copies.libraries);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let at = Instant::now();
        Self { process: command.spawn().expect("the program starts"), at }
    }

    /// Waits for its end; what it had read shortly before.
    fn ended(&mut self) -> Option<u64> {
        let mut read = None;
        while self.process.try_wait().expect("the process is ours").is_none() {
            read = self.read().or(read);
            std::thread::sleep(Duration::from_micros(200));
        }
        read
    }

    /// Bytes that it has read from the disk.
    fn read(&self) -> Option<u64> {
        let path = format!("/proc/{}/io", self.process.id());
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| line.strip_prefix("read_bytes: "))?.parse().ok()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
