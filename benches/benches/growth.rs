//! How do start, data sets and long runs grow?
//!
//! `polyptych train` from nothing to its first step, with its files in the page cache and without.
//! A data set of 1, 10 and 100 thousand samples: to open it, to check it, to draw the order of an
//! epoch. A run whose `metrics.jsonl` has 10^4, 10^5 and 10^6 lines: to append, to go on, and to
//! write the report. A run that has saved 10, 100 and 1000 checkpoints. Sizes take turns; what takes
//! ten times as long for ten times as much grows with its size and no faster.
//!
//! `POLYPTYCH_PAGE=docs/results/start-and-growth.md` writes the tables to a page of results. Without
//! `--bench`, as tests run it, everything is done once at small sizes.

#[path = "growth/data_sets.rs"]
mod data_sets;
#[path = "growth/runs.rs"]
mod runs;
#[path = "growth/start.rs"]
mod start;
#[path = "growth/table.rs"]
mod table;

use std::process::ExitCode;

use polyptych_benches::machine;

/// What is measured, and how often.
struct Plan {
    /// Of a data set.
    samples: [usize; 3],
    /// Of `metrics.jsonl`.
    lines: [usize; 3],
    /// That a run has written before.
    checkpoints: [usize; 3],
    /// Runs that are started: the first ones of `start::CASES`.
    starts: usize,
    /// Turns of each that count.
    rounds: usize,
}

const WHOLE: Plan = Plan {
    samples: [1_000, 10_000, 100_000],
    lines: [10_000, 100_000, 1_000_000],
    checkpoints: [10, 100, 1_000],
    starts: start::CASES.len(),
    rounds: 7,
};

const QUICK: Plan =
    Plan { samples: [4, 8, 16], lines: [2, 4, 8], checkpoints: [1, 2, 3], starts: 0, rounds: 1 };

fn main() -> ExitCode {
    if start::is_program() {
        return polyptych_cli::main();
    }
    // As programs do.
    polyptych_tensor::memory::keep();
    let whole = std::env::args().any(|argument| argument == "--bench");
    let tables = tables(if whole { &WHOLE } else { &QUICK });
    println!("{tables}");
    if let (true, Some(path)) = (whole, std::env::var_os("POLYPTYCH_PAGE")) {
        std::fs::write(path, page(&tables)).expect("the page can be written");
    }
    ExitCode::SUCCESS
}

fn tables(plan: &Plan) -> String {
    let start = start::table(plan.starts, plan.rounds);
    let data_sets = data_sets::table(plan.samples, plan.rounds);
    let (logs, bytes) = runs::logs(plan.lines, plan.rounds);
    let (checkpoints, kept) = runs::checkpoints(plan.checkpoints, plan.rounds);
    format!(
        "## Start\n\n\
         `polyptych train` from the start of the process until the first step stands in \
         `metrics.jsonl`. Warm: its files are in the page cache. Cold: the program and LibTorch were \
         dropped from it just before; what was read from the disk then is what the system counts of \
         the process.\n\n\
         {start}\n\
         ## Data sets\n\n\
         Photographs of 8 x 8 pixels with one label each, a file for each. Checking decodes all of \
         them.\n\n\
         {data_sets}\n\
         ## Logs\n\n\
         A small run with so many lines in `metrics.jsonl`, one for each step; {bytes}.\n\n\
         {logs}\n\
         ## Checkpoints\n\n\
         The same run, saved behind every step, with so many checkpoints written before; {kept}.\n\n\
         {checkpoints}"
    )
}

/// The page of results that `tables` belong to.
fn page(tables: &str) -> String {
    format!(
        "# Start and growth\n\n\
         Medians of {} turns with quartiles, in seconds; what is compared takes turns. Growth is \
         the ratio to the column before in the same turn: 10 grows with the size, 1 does not \
         grow.\n\n\
         {tables}\n\
         Machine: {}.\n\
         This page was written by\n\n```console\n\
         $ OMP_NUM_THREADS=1 POLYPTYCH_PAGE=$PWD/docs/results/start-and-growth.md cargo bench -p \
         polyptych-benches --bench growth\n```\n",
        WHOLE.rounds,
        machine()
    )
}
