//! `cargo xtask pictures`: the pictures of a trained quickstart in the documentation.
//!
//! A run is trained, or taken as it is; the program draws the panel that the README opens with and
//! the page of the run, and Chromium takes pictures of that page.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::command::Subcommand;
use crate::lab::program::{self, Program};
use crate::process;
use crate::workspace;

/// Folder of what is written on the way, below the current one.
const RUNS: &str = "runs/pictures";
/// A README's picture is loaded by everybody who looks at it.
const MOST_BYTES: u64 = 300_000;
/// The page on a desktop and on a phone: file, width, height, whether it is dark.
const SHOTS: [(&str, u32, u32, bool); 2] =
    [("report.png", 1200, 1500, false), ("report-phone.png", 390, 1200, true)];

/// Renew the README's panel, the page of the quickstart and the pictures of that page
#[derive(Parser)]
#[command(name = "pictures")]
pub(crate) struct Pictures {
    /// Folder of a run of the quickstart [default: one that is trained for it]
    #[arg(long, value_name = "RUN")]
    run: Option<PathBuf>,
    /// A photograph for the panel [default: a drawn scene]
    #[arg(long, value_name = "FILE")]
    photograph: Option<PathBuf>,
    /// Use this program, rather than one that is built now
    #[arg(long, value_name = "PROGRAM")]
    program: Option<PathBuf>,
    /// Chromium; without it the pictures of the page stay as they are
    #[arg(long, default_value = "chromium", value_name = "PROGRAM")]
    chromium: PathBuf,
}

impl Subcommand for Pictures {
    fn run(flags: &Self) -> Result<ExitCode> {
        let folder = Path::new(RUNS);
        let _lock = program::lock(folder)?;
        let program = Program::given_or_built(flags.program.as_deref(), folder)?;
        let run = flags.run.clone().map_or_else(|| trained(&program, folder), Ok)?;
        let photograph = flags.photograph.clone().map_or_else(|| scene(folder), Ok)?;
        panel(&program, &run, &photograph, folder)?;
        let page = page(&program, &run)?;
        SHOTS.iter().try_for_each(|shot| taken(&flags.chromium, &page, *shot))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn docs() -> PathBuf {
    workspace::root().join("docs")
}

fn trained(program: &Program, folder: &Path) -> Result<PathBuf> {
    let run = folder.join("quickstart");
    if !run.join("evaluation.json").exists() {
        let mut train = program.command("train");
        train.args(["quickstart", "--plain", "--set", "compare=[]", "--out"]).arg(&run);
        process::step(&mut train)?;
    }
    Ok(run)
}

/// The third of the drawn scenes: a person in the open, most classes.
fn scene(folder: &Path) -> Result<PathBuf> {
    let photographs = folder.join("photographs");
    let mut draw = workspace::cargo_command();
    draw.args(["run", "--release", "--package", "polyptych-synthetic", "--example", "photographs"]);
    process::step(draw.arg("--").arg(&photographs).arg("4"))?;
    Ok(photographs.join("scene-002.jpg"))
}

/// Photograph and six tasks with titles, legends and colour bars.
fn panel(program: &Program, run: &Path, photograph: &Path, folder: &Path) -> Result<()> {
    let mut predict = program.command("predict");
    predict.arg(run).arg(photograph).args(["--columns", "4", "--out"]).arg(folder.join("panel"));
    process::step(&mut predict)?;
    let stem = photograph.file_stem().context("the photograph has no name")?;
    let drawn = folder.join("panel").join(stem).with_extension("png");
    let bytes = std::fs::metadata(&drawn).with_context(|| drawn.display().to_string())?.len();
    ensure!(
        bytes <= MOST_BYTES,
        "{}: expected at most {MOST_BYTES} bytes, found {bytes}; take a smaller photograph",
        drawn.display()
    );
    put(&drawn, &docs().join("images/quickstart.png"))
}

fn put(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| to.display().to_string())?;
    println!("{}", to.display());
    Ok(())
}

fn page(program: &Program, run: &Path) -> Result<PathBuf> {
    let page = docs().join("quickstart.html");
    process::step(program.command("report").arg(run).arg("--out").arg(&page))?;
    Ok(page)
}

fn taken(
    chromium: &Path,
    page: &Path,
    (name, width, height, dark): (&str, u32, u32, bool),
) -> Result<()> {
    let to = docs().join("images").join(name);
    let mut command = Command::new(chromium);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    command.arg("--disable-background-networking");
    // What the page's style asks for.
    command.arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)));
    command.arg(format!("--window-size={width},{height}"));
    command.arg(format!("--screenshot={}", to.display()));
    command.arg(format!("file://{}", page.display()));
    match command.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: {name}, no {}", chromium.display());
            Ok(())
        }
        status => {
            let status = status.with_context(|| chromium.display().to_string())?;
            ensure!(status.success(), "{}: {status}", chromium.display());
            println!("{}", to.display());
            Ok(())
        }
    }
}
