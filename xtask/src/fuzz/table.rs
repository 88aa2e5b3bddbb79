//! `docs/results/fuzz.md`: one row for each target, the last run of each.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

const HEAD: &str = "# Fuzzing\n\n\
    Written by `cargo xtask fuzz`: libFuzzer with counters of coverage, debug assertions and overflow checks on, \
    2 GiB of memory and 20 s for one input.\n\
    A target that a parser's panic, hang or memory ended says so in the last column; \
    what was found and mended has a test beside the parser.\n\n\
    | target | parses | executions | executions/s | peak MiB | ended by |\n\
    |---|---|---:|---:|---:|---|\n";

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    executions: u64,
    seconds: f64,
    peak_mib: u64,
    /// File of the input that broke the parser.
    pub(super) broken_by: Option<String>,
}

impl Outcome {
    /// Reads what libFuzzer says at its end.
    pub(super) fn read(said: &str, success: bool, seconds: f64) -> Result<Self> {
        let last = || said.lines().last().unwrap_or_default().to_owned();
        let number = |name: &str| -> Result<u64> {
            let value = said.lines().find_map(|line| line.strip_prefix(name));
            let value = value.and_then(|value| value.trim_start_matches(':').trim().parse().ok());
            value.with_context(|| format!("expected `{name}` from libFuzzer, found `{}`", last()))
        };
        let artifact = said.lines().find_map(|line| line.split_once("Test unit written to "));
        let broken_by = match (success, artifact) {
            (true, _) => None,
            (false, Some((_, path))) => Some(path.trim().to_owned()),
            (false, None) => Some(last()),
        };
        let executions = number("stat::number_of_executed_units")?;
        let peak_mib = number("stat::peak_rss_mb")?;
        Ok(Self { executions, seconds, peak_mib, broken_by })
    }
}

/// Rows by target.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<String, String>);

impl Table {
    /// The rows of the page, none where there is no page yet.
    pub(super) fn open(page: &Path) -> Result<Self> {
        match page.exists() {
            false => Ok(Self::default()),
            true => {
                let text = std::fs::read_to_string(page);
                Ok(Self::parse(&text.with_context(|| page.display().to_string())?))
            }
        }
    }

    fn parse(text: &str) -> Self {
        let rows = text.lines().filter_map(|line| {
            let name = line.strip_prefix("| `")?.split_once('`')?.0;
            Some((name.to_owned(), line.to_owned()))
        });
        Self(rows.collect())
    }

    /// Puts a run in the place of the target's last one.
    pub(super) fn note(&mut self, name: &str, parses: &str, outcome: &Outcome) {
        let Outcome { executions, seconds, peak_mib, broken_by } = outcome;
        let rate = *executions as f64 / seconds.max(1e-3);
        let input = broken_by.as_deref().map(Path::new).and_then(Path::file_name);
        let end = input.map_or_else(|| "the last run".into(), |name| name.to_string_lossy());
        let row =
            format!("| `{name}` | {parses} | {executions} | {rate:.0} | {peak_mib} | {end} |");
        self.0.insert(name.to_owned(), row);
    }

    pub(super) fn write(&self, page: &Path) -> Result<()> {
        let rows: String = self.0.values().map(|row| format!("{row}\n")).collect();
        std::fs::write(page, format!("{HEAD}{rows}")).with_context(|| page.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const END: &str = "Done 10 runs in 1 second(s)\nstat::number_of_executed_units: 10\n\
                       stat::peak_rss_mb:              41\n";

    #[test]
    fn what_libfuzzer_says_is_read() {
        let whole = Outcome::read(END, true, 2.0).unwrap();
        assert_eq!((whole.executions, whole.peak_mib, whole.broken_by), (10, 41, None));
        let said = format!("artifact_prefix='x'; Test unit written to x/npy-crash-1\n{END}");
        let broken = Outcome::read(&said, false, 2.0).unwrap();
        assert_eq!(broken.broken_by.as_deref(), Some("x/npy-crash-1"));
        let message = Outcome::read("no such library", true, 0.1).unwrap_err().to_string();
        assert!(message.ends_with("found `no such library`"), "{message}");
    }

    #[test]
    fn a_run_replaces_the_row_of_its_target_alone() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("fuzz.md");
        let mut table = Table::open(&page).unwrap();
        let outcome = Outcome::read(END, true, 2.0).unwrap();
        table.note("npy", "arrays", &outcome);
        table.note("mat", "files", &outcome);
        table.write(&page).unwrap();
        let mut table = Table::open(&page).unwrap();
        table.note("npy", "arrays", &Outcome { broken_by: Some("b/crash".into()), ..outcome });
        table.write(&page).unwrap();
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.ends_with(
            "| `mat` | files | 10 | 5 | 41 | the last run |\n| `npy` | arrays | 10 | 5 | 41 | crash |\n"
        ));
    }
}
