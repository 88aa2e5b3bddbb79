//! `docs/results/fuzz.md`: one row for each target, the last run of each.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::lab::machine::Origin;
use crate::lab::page;

const HEAD: &str = "\
    libFuzzer with counters of coverage, debug assertions and overflow checks on, 2 GiB of memory \
    and 20 s for one input.\n\
    What a file becomes is at most 64 KiB, or eight times its length, and not 64 MiB or 2048 times \
    as elsewhere (`--cfg=fuzzing`), so that inputs are many; tests reach the bounds themselves.\n\
    Found are the inputs that once broke the parser by a panic, a hang or too much memory; all are \
    kept in `benches/fuzz/found` and fed to it again by every run, so a run that comes to its end \
    has passed them.\n\n\
    | target | parses | executions | executions/s | peak MiB | found | ended by |\n\
    |---|---|---:|---:|---:|---:|---|\n";

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    executions: u64,
    seconds: f64,
    peak_mib: u64,
    /// Inputs that broke the parser before this run.
    found: usize,
    /// File of the input that broke the parser.
    pub(super) broken_by: Option<String>,
}

impl Outcome {
    /// Reads what libFuzzer says at its end.
    pub(super) fn read(said: &str, success: bool, seconds: f64, found: usize) -> Result<Self> {
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
            (false, None) => bail!("stopped before its end, by no input: `{}`", last()),
        };
        let executions = number("stat::number_of_executed_units")?;
        let peak_mib = number("stat::peak_rss_mb")?;
        Ok(Self { executions, seconds, peak_mib, found, broken_by })
    }

    fn row(&self, name: &str, parses: &str) -> String {
        let Self { executions, peak_mib, found, .. } = self;
        let rate = *executions as f64 / self.seconds.max(1e-3);
        let input = self.broken_by.as_deref().map(Path::new).and_then(Path::file_name);
        let end = input.map_or_else(|| "the last execution".into(), |name| name.to_string_lossy());
        format!("| `{name}` | {parses} | {executions} | {rate:.0} | {peak_mib} | {found} | {end} |")
    }
}

/// Rows by target.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<String, String>);

impl Table {
    /// The rows of a page.
    pub(super) fn parse(text: &str) -> Self {
        let rows = text.lines().filter_map(|line| {
            let name = line.strip_prefix("| `")?.split_once('`')?.0;
            Some((name.to_owned(), line.to_owned()))
        });
        Self(rows.collect())
    }

    /// Puts a run in the place of the target's last one.
    pub(super) fn note(&mut self, name: &str, parses: &str, outcome: &Outcome) {
        self.0.insert(name.to_owned(), outcome.row(name, parses));
    }

    fn block(&self, origin: &Origin) -> String {
        let rows: String = self.0.values().map(|row| format!("{row}\n")).collect();
        format!("{HEAD}{rows}\nThe last of these runs:\n{}", page::origin_line(origin))
    }
}

/// Puts a run into the page.
///
/// # Errors
/// A page that has lost its marks, or whatever the file system says.
pub(super) fn note(path: &Path, name: &str, parses: &str, outcome: &Outcome) -> Result<()> {
    let old = std::fs::read_to_string(path).ok();
    let mut table = Table::parse(old.as_deref().unwrap_or_default());
    table.note(name, parses, outcome);
    let block = page::generated("cargo xtask fuzz --runs N", &table.block(&Origin::read()));
    page::write(path, &page::renew(old.as_deref(), "Fuzzing", &block)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: &str = "Done 10 runs in 1 second(s)\nstat::number_of_executed_units: 10\n\
                       stat::peak_rss_mb:              41\n";

    #[test]
    fn what_libfuzzer_says_is_read() {
        let whole = Outcome::read(END, true, 2.0, 0).unwrap();
        assert_eq!((whole.executions, whole.peak_mib, whole.broken_by), (10, 41, None));
        let said = format!("artifact_prefix='x'; Test unit written to x/npy-crash-1\n{END}");
        let broken = Outcome::read(&said, false, 2.0, 0).unwrap();
        assert_eq!(broken.broken_by.as_deref(), Some("x/npy-crash-1"));
        let message = Outcome::read(END, false, 2.0, 0).unwrap_err().to_string();
        assert!(message.starts_with("stopped before its end, by no input"), "{message}");
        let message = Outcome::read("no such library", true, 0.1, 0).unwrap_err().to_string();
        assert!(message.ends_with("found `no such library`"), "{message}");
    }

    #[test]
    fn a_run_replaces_the_row_of_its_target_alone() {
        let outcome = Outcome::read(END, true, 2.0, 3).unwrap();
        let mut table = Table::default();
        table.note("npy", "arrays", &outcome);
        table.note("mat", "files", &outcome);
        let mut table = Table::parse(&table.block(&Origin::default()));
        table.note("npy", "arrays", &Outcome { broken_by: Some("b/crash".into()), ..outcome });
        assert!(table.block(&Origin::default()).contains(
            "| `mat` | files | 10 | 5 | 41 | 3 | the last execution |\n\
             | `npy` | arrays | 10 | 5 | 41 | 3 | crash |\n"
        ));
    }
}
