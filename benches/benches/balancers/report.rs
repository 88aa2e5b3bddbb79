//! What was measured, as JSON and as a table.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

use polyptych_engine::balancers;
use serde::Serialize;

use crate::TASKS;
use crate::measure::Plan;

/// One method at one number of tasks.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    name: String,
    tasks: usize,
    /// Median step with equal weights, and the quartiles.
    plain_ms: [f64; 3],
    /// Median step with the method, and the quartiles.
    method_ms: [f64; 3],
    /// Of the medians.
    pub(crate) ratio: f64,
    /// Quartiles of the ratios of single rounds.
    ratio_quartiles: [f64; 2],
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    command: &'static str,
    made_with: String,
    plan: Plan,
    cells: Vec<Cell>,
}

impl Cell {
    /// `times`: those of equal weights and of the method, `steps` in a round.
    pub(crate) fn new(name: &str, tasks: usize, times: [Vec<f64>; 2], steps: u64) -> Self {
        let rounds = |times: &[f64]| -> Vec<f64> {
            times.chunks(steps as usize).map(|round| spread(round.to_vec())[0]).collect()
        };
        let (plain, method) = (rounds(&times[0]), rounds(&times[1]));
        let [_, low, high] = spread(plain.iter().zip(&method).map(|(p, m)| m / p).collect());
        let [plain_ms, method_ms] = times.map(spread);
        let ratio = method_ms[0] / plain_ms[0];
        Self {
            name: name.to_owned(),
            tasks,
            plain_ms,
            method_ms,
            ratio,
            ratio_quartiles: [low, high],
        }
    }
}

/// Median, lower and upper quartile.
fn spread(mut times: Vec<f64>) -> [f64; 3] {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    [at(0.5), at(0.25), at(0.75)]
}

impl Report {
    pub(crate) fn new(plan: Plan, cells: Vec<Cell>) -> Self {
        let command = "cargo bench -p polyptych-benches --bench balancers";
        Self { command, made_with: made_with(), plan, cells }
    }

    /// A page for `docs/results`.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from("# What balancing costs\n\n");
        let lines = [
            "A training step of MTLoRA on the small Swin (96 x 96 pixels, batches of 8, heads and \
             ranks of the quickstart) with each method, over the same step with equal weights.",
            "Each method took turns with equal weights; a ratio is one of medians, behind it stand \
             the quartiles of the ratios of single turns.",
            "Of eight tasks six are dense, one is tags and one categories; the first two and four \
             are dense.",
        ];
        lines.iter().for_each(|line| text += &format!("{line}\n"));
        let _ = writeln!(text, "\n`{}`, {}.\n", self.command, self.made_with);
        let heads: Vec<String> = TASKS.iter().map(|tasks| format!("{tasks} tasks")).collect();
        let _ = writeln!(text, "| method | cost in words | {} |", heads.join(" | "));
        let _ = writeln!(text, "|---|---|{}", "---|".repeat(TASKS.len()));
        let mut names: Vec<&str> = self.cells.iter().map(|cell| cell.name.as_str()).collect();
        names.dedup();
        for name in names {
            let cost =
                balancers().into_iter().find(|info| info.name == name).map_or("", |i| i.cost);
            let ratios: Vec<String> = TASKS.iter().map(|tasks| self.ratio(name, *tasks)).collect();
            let _ = writeln!(text, "| {name} | {cost} | {} |", ratios.join(" | "));
        }
        text
    }

    fn ratio(&self, name: &str, tasks: usize) -> String {
        let found = self.cells.iter().find(|cell| cell.name == name && cell.tasks == tasks);
        found.map_or(String::new(), |cell| {
            let [low, high] = cell.ratio_quartiles;
            format!("{:.2} x ({low:.2} to {high:.2})", cell.ratio)
        })
    }

    /// Writes both files.
    pub(crate) fn write(&self) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/results");
        let json = serde_json::to_string_pretty(self).expect("a report is JSON") + "\n";
        for (name, text) in [("balancers-cost.json", json), ("balancers-cost.md", self.markdown())]
        {
            std::fs::write(folder.join(name), text).expect("the folder of results is there");
        }
    }
}

fn made_with() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = std::env::var("OMP_NUM_THREADS").unwrap_or_else(|_| cores.to_string());
    let torch = polyptych_kernels::torch_version();
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().ok();
    let commit = commit.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    let commit = commit.filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".into());
    format!("commit {commit}, float32 on {threads} of {cores} cores, LibTorch {torch}")
}
