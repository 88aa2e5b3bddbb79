//! `cargo xtask fuzz`: the parsers of foreign bytes under random bytes, and a table of what came
//! of it.
//!
//! libFuzzer without cargo-fuzz: the counters it steers by come from flags that every stable
//! compiler takes. The parsers are safe Rust, so what is looked for are panics, overflows, hangs
//! and memory, and no sanitizer is needed to see these.

mod table;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::command::Subcommand;
use crate::process;
use crate::setup::ensure;
use crate::workspace;
use table::Outcome;

/// A program in `benches/fuzz/targets`.
struct Target {
    name: &'static str,
    /// What it parses.
    parses: &'static str,
    /// Folder of samples, beside the target's own in `benches/fuzz/corpus`.
    samples: Option<&'static str>,
    /// Whether it links LibTorch.
    libtorch: bool,
}

const fn target(
    name: &'static str,
    parses: &'static str,
    samples: Option<&'static str>,
    libtorch: bool,
) -> Target {
    Target { name, parses, samples, libtorch }
}

const TARGETS: [Target; 16] = [
    target("npy", "NumPy arrays of labels", None, false),
    target("mat", "MATLAB v5 files", None, false),
    target("idx", "idx files, plain and packed", None, false),
    target("label_png", "label maps as PNG", None, false),
    target("image", "photographs, JPEG and PNG", None, false),
    target("coco", "COCO's JSON, its index and masks", None, false),
    target("webdataset", "members of tar shards", Some("crates/data/tests/webdataset"), false),
    target("parquet", "Parquet files and directories", Some("crates/data/tests/lists"), false),
    target("numbers", "numbers as EXR, PFM and TIFF", Some("crates/data/tests/exr"), false),
    target("hdf5", "HDF5 files and their rows", Some("crates/data/tests/hdf5"), false),
    target("arrow", "Arrow's streams and files", Some("crates/data/tests/lists"), false),
    target("manifest", "manifests of data sets", Some("datasets"), false),
    target("safetensors", "safetensors", None, true),
    target("pth", "PyTorch's .pth, zip and legacy", Some("crates/formats/tests/pth"), true),
    target("recipe", "recipes", Some("crates/cli/recipes"), true),
    target("peft_config", "PEFT's adapter_config.json", None, true),
];

/// What makes libFuzzer's counters, on any release of the compiler.
const COUNTERS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 --cfg=fuzzing";

/// Memory of one run, in MiB; the readers' own bound on a file is half of it.
const MEMORY: &str = "-rss_limit_mb=2048";
/// Seconds that one input may take.
const PATIENCE: &str = "-timeout=20";

/// Feed random bytes to the parsers of foreign files, and write the table of what came of it
#[derive(Parser)]
#[command(name = "fuzz")]
pub(crate) struct Fuzz {
    /// Targets in `benches/fuzz/targets`, all by default
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// Inputs for each target
    #[arg(long, default_value_t = 100_000)]
    pub(crate) runs: u64,
    /// Seed of the inputs; 0 takes another one each time
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u32,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Subcommand for Fuzz {
    fn run(flags: &Self) -> Result<ExitCode> {
        let chosen = chosen(&flags.targets)?;
        if flags.dry_run {
            chosen
                .iter()
                .for_each(|target| println!("would run `{}`", process::shown(&target.build(""))));
            return Ok(ExitCode::SUCCESS);
        }
        if chosen.iter().any(|target| target.libtorch) {
            ensure::libtorch()?;
        }
        let page = workspace::root().join("docs/results/fuzz.md");
        let mut broken = Vec::new();
        for target in chosen {
            let outcome = target.run(flags)?;
            table::note(&page, target.name, target.parses, &outcome)?;
            broken.extend(outcome.broken_by);
        }
        for input in &broken {
            eprintln!(
                "error: broken by {input}; once mended, keep it in benches/fuzz/found/TARGET"
            );
        }
        Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Target>> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    let known = TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    let find = |name: &String| {
        let found = TARGETS.iter().find(|target| target.name == name);
        found.with_context(|| format!("no target `{name}`: expected one of {known}"))
    };
    names.iter().map(find).collect()
}

impl Target {
    fn build(&self, host: &str) -> Command {
        let mut command = workspace::cargo_command();
        command.current_dir(workspace::root()).args(["build", "--release", "--locked"]);
        // A target of its own keeps the flags away from build scripts.
        command.args(["--manifest-path", "benches/fuzz/Cargo.toml", "--target", host]);
        command.args(["--bin", self.name]).args(self.libtorch.then_some("--features=libtorch"));
        command.env("RUSTFLAGS", COUNTERS).env("CARGO_TARGET_DIR", folder());
        command
    }

    fn run(&self, flags: &Fuzz) -> Result<Outcome> {
        let host = host()?;
        process::step(&mut self.build(&host))?;
        let (grown, broken) = (folder().join("corpus").join(self.name), folder().join("broken"));
        for path in [&grown, &broken] {
            std::fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        }
        let mut command = Command::new(folder().join(host).join("release").join(self.name));
        command.args([MEMORY, PATIENCE, "-print_final_stats=1"]);
        command.arg(format!("-runs={}", flags.runs)).arg(format!("-seed={}", flags.seed));
        command.arg(format!("-artifact_prefix={}/{}-", broken.display(), self.name));
        command.arg(grown).args(self.samples());
        println!("{}: {} runs", self.name, flags.runs);
        let start = Instant::now();
        let output = command.output().with_context(|| process::shown(&command))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let seconds = start.elapsed().as_secs_f64();
        let found = std::fs::read_dir(self.found()).map_or(0, Iterator::count);
        Outcome::read(&said, output.status.success(), seconds, found).with_context(|| self.name)
    }

    /// Folder of the inputs that once broke the parser.
    fn found(&self) -> PathBuf {
        workspace::root().join("benches/fuzz/found").join(self.name)
    }

    /// Folders of samples that are there.
    fn samples(&self) -> Vec<PathBuf> {
        let own = workspace::root().join("benches/fuzz/corpus").join(self.name);
        let others = self.samples.map(|path| workspace::root().join(path));
        let folders = [Some(own), others, Some(self.found())].into_iter().flatten();
        folders.filter(|path| path.is_dir()).collect()
    }
}

fn folder() -> PathBuf {
    workspace::root().join("target/fuzz")
}

/// The compiler's own platform.
fn host() -> Result<String> {
    let verbose =
        process::output(Command::new("rustc").arg("-vV")).context("`rustc -vV` failed")?;
    let host = verbose.lines().find_map(|line| line.strip_prefix("host: "));
    match host {
        Some(host) => Ok(host.to_owned()),
        None => bail!("`rustc -vV`: expected a line `host`, found none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of the package's programs.
    fn declared() -> Vec<String> {
        let manifest = workspace::root().join("benches/fuzz/Cargo.toml");
        let text = std::fs::read_to_string(manifest).unwrap();
        let names = text.lines().filter_map(|line| line.strip_prefix("path = \"targets/"));
        names.map(|name| name.trim_end_matches(".rs\"").to_owned()).collect()
    }

    #[test]
    fn targets_are_those_of_the_package_and_have_samples() {
        let declared = declared();
        assert!(declared.iter().eq(TARGETS.iter().map(|target| target.name)), "{declared:?}");
        let bare = TARGETS.iter().find(|target| target.samples().is_empty());
        assert!(bare.is_none(), "{}", bare.unwrap().name);
    }

    #[test]
    fn an_unknown_target_lists_the_known() {
        let message = chosen(&["nyp".into()]).err().unwrap().to_string();
        assert!(message.starts_with("no target `nyp`: expected one of npy, mat, "), "{message}");
        assert_eq!(chosen(&[]).unwrap().len(), TARGETS.len());
        let shown = process::shown(&chosen(&["pth".into()]).unwrap()[0].build("h"));
        assert!(shown.ends_with("--target h --bin pth --features=libtorch"), "{shown}");
    }
}
