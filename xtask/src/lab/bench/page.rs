//! `speed.json` and `speed.md`: one row for each case and setting, the last run of each; and how
//! the cases that train grow with their tasks.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::agreement::Difference;
use super::case::Case;
use super::growth::{self, Point};
use super::rates::Rates;
use super::setting::{Setting, in_threads};
use super::spread::Spread;
use super::worker::Turn;
use crate::lab::machine::Origin;
use crate::lab::page;

const HEAD: &str = "\
    Each program is a process of its own; every round runs each once. Times are medians \
    of rounds. A ratio is the peer's time over ours in the same round: its median, and its quartiles \
    in brackets; above 1 we are faster. The machine is what a product of two matrices of 2048 x 2048 \
    numbers in the same type, and a copy of 256 MiB, came to in the same rounds; \"busy\" counts programs that \
    multiplied without pause meanwhile. Growth is our time over that of the first setting in \
    the same rounds. Memory is the most that a process held, start included, and \
    its ratio ours over the peer's. Differences are the largest relative ones of outputs and of \
    gradients, without dropout.\n";

/// Cases whose step is drawn against the number of tasks.
const GROWING: [&str; 5] = ["mtlora", "mtlora-shared", "emtal", "vmt", "vmt-shared"];
const GROWTH: &str = "growth.svg";

/// What one program took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Program {
    name: String,
    versions: String,
    seconds: Spread,
    images_per_s: f64,
    peak_bytes: Option<u64>,
    /// Its time over ours, by wall clock and on a core.
    ratio: Option<Spread>,
    core_ratio: Option<Spread>,
    /// Its time over that of the first setting that took turns with it.
    growth: Option<Spread>,
    difference: Option<Difference>,
    /// Seconds of every round.
    times: Vec<f64>,
}

impl Program {
    /// Sums up `turns`, and compares with ours.
    pub(super) fn new(
        name: &str,
        versions: &str,
        turns: &[Turn],
        ours: Option<(&[Turn], Difference)>,
    ) -> Self {
        let seconds = Spread::of(turns.iter().map(|turn| turn.seconds));
        let ratio = |of: fn(&Turn) -> Option<f64>| {
            let (ours, _) = ours?;
            let pairs = turns.iter().zip(ours);
            let ratios: Option<Vec<f64>> = pairs.map(|(a, b)| Some(of(a)? / of(b)?)).collect();
            ratios.map(Spread::of)
        };
        Self {
            name: name.into(),
            versions: versions.into(),
            seconds,
            images_per_s: turns.first().map_or(0.0, |turn| turn.items) / seconds.median,
            peak_bytes: turns.iter().filter_map(|turn| turn.peak_bytes).max(),
            ratio: ratio(|turn| Some(turn.seconds)),
            core_ratio: ratio(|turn| turn.core_seconds),
            growth: None,
            times: turns.iter().map(|turn| turn.seconds).collect(),
            difference: ours.map(|(_, difference)| difference),
        }
    }

    /// Notes the time over that of `first` in the same rounds.
    pub(super) fn grown_from(self, first: &[Turn]) -> Self {
        let pairs = self.times.iter().zip(first);
        let growth = Spread::of(pairs.map(|(seconds, first)| seconds / first.seconds));
        Self { growth: Some(growth), ..self }
    }

    fn memory(&self) -> String {
        self.peak_bytes.map_or("-".into(), |bytes| format!("{:.2}", bytes as f64 / 1e9))
    }
}

/// One case at one size.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    case: String,
    about: String,
    precision: String,
    tasks: Option<usize>,
    batch: usize,
    size: usize,
    threads: usize,
    rounds: usize,
    #[serde(default)]
    commit: String,
    /// What the machine could do; not known of the oldest rows.
    #[serde(default)]
    rates: Option<Rates>,
    ours: Program,
    peers: Vec<Program>,
}

impl Row {
    pub(super) fn new(
        case: &Case,
        setting: &Setting,
        rounds: usize,
        (ours, peers): (Program, Vec<Program>),
    ) -> Self {
        Self {
            case: case.name.into(),
            about: on_device(case.about, &setting.device),
            precision: setting.precision.clone(),
            tasks: case.has_tasks.then_some(setting.tasks),
            batch: setting.batch,
            size: setting.size,
            threads: setting.threads,
            rounds,
            commit: String::new(),
            rates: None,
            ours,
            peers,
        }
    }

    /// With what the machine could do meanwhile.
    pub(super) fn at(self, rates: Option<Rates>) -> Self {
        Self { rates, ..self }
    }

    /// What later measurements of the same replace.
    fn key(&self) -> String {
        let Self { case, precision, batch, size, threads, .. } = self;
        let tasks = self.tasks.unwrap_or(0);
        // Rows beside peers and rows beside other numbers of tasks are two measurements.
        let beside = if self.peers.is_empty() { "alone" } else { "peers" };
        let busy = self.rates.map_or(0, |rates| rates.neighbours);
        let busy = if busy == 0 { String::new() } else { format!(" busy {busy}") };
        format!(
            "{case} {precision} {beside} size {size:04} batch {batch:03} tasks {tasks:03} threads \
             {threads}{busy}"
        )
    }

    /// Our program in the plot of growth.
    fn point(&self) -> Option<Point> {
        let Self { case, precision, size, batch, threads, ours, .. } = self;
        let threads = in_threads(*threads);
        (GROWING.contains(&case.as_str()) && self.peers.is_empty()).then_some(())?;
        Some(Point {
            line: format!("{case} {precision}, {size} pixels, batch {batch}, {threads}"),
            tasks: self.tasks?,
            seconds: ours.seconds,
            peak_bytes: ours.peak_bytes,
        })
    }

    fn lines(&self) -> String {
        let tasks = self.tasks.map_or("-".into(), |tasks| tasks.to_string());
        let Self { precision, batch, size, threads, .. } = self;
        let start = format!("| {precision} | {size} | {batch} | {tasks} | {threads} |");
        let machine = self.rates.map_or("-".into(), |rates| rates.to_string());
        let one = |program: &Program| {
            let Program { name, seconds, images_per_s, .. } = program;
            let [ratio, growth] = [program.ratio, program.growth]
                .map(|spread| spread.map_or("-".into(), Spread::shown));
            let memory = self.ours.peak_bytes.zip(program.peak_bytes);
            let memory = memory.filter(|_| program.ratio.is_some());
            let memory = memory
                .map_or("-".into(), |(ours, peer)| format!("{:.2}", ours as f64 / peer as f64));
            let apart = program.difference.map_or("-".into(), |d| {
                let gradients = d.gradients.map_or("-".into(), |g| format!("{g:.0e}"));
                format!("{:.0e}, {gradients}", d.outputs)
            });
            format!(
                "{start} {name} | {:.3} | {images_per_s:.2} | {} | {ratio} | {growth} | {memory} | {apart} | {machine} |\n",
                seconds.median,
                program.memory()
            )
        };
        std::iter::once(&self.ours).chain(&self.peers).map(one).collect()
    }
}

/// The CPU is not named.
fn on_device(about: &str, device: &str) -> String {
    if device == "cpu" { about.into() } else { format!("{about}, on {device}") }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.case, self.lines().trim_end())
    }
}

/// Puts rows in the place of the same settings' last ones.
///
/// # Errors
/// Results that cannot be read or written.
pub(super) fn note(folder: &Path, rows: Vec<Row>) -> Result<()> {
    let (json, text) = (folder.join("speed.json"), folder.join("speed.md"));
    let mut all: BTreeMap<String, Row> = match std::fs::read_to_string(&json) {
        Ok(old) => serde_json::from_str(&old).with_context(|| json.display().to_string())?,
        Err(_) => BTreeMap::new(),
    };
    let origin = Origin::read();
    let commit = origin.git.short();
    all.extend(rows.into_iter().map(|row| {
        let row = Row { commit: commit.clone(), ..row };
        (row.key(), row)
    }));
    page::write_data(&json, &all)?;
    let growth = growth::draw(all.values().filter_map(Row::point))?;
    if let Some(plot) = &growth {
        page::write(&folder.join(GROWTH), plot)?;
    }
    let block = block(&all, &origin, growth.is_some());
    let block = page::generated("cargo xtask bench --peers", &block);
    let old = std::fs::read_to_string(&text).ok();
    page::write(&text, &page::renew(old.as_deref(), "Speed", &block)?)
}

fn block(all: &BTreeMap<String, Row>, origin: &Origin, grown: bool) -> String {
    let mut text = HEAD.to_owned();
    if grown {
        text += &format!("\n![Training step and memory by number of tasks]({GROWTH})\n");
    }
    let mut last = "";
    for row in all.values() {
        if row.case != last {
            last = &row.case;
            text += &format!(
                "\n## {}: {}\n\n| type | size | batch | tasks | threads | program | s | images/s | GB | \
                 ratio | growth | memory | differences | machine |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
                row.case, row.about
            );
        }
        text += &row.lines();
    }
    let mut versions: Vec<&str> = all
        .values()
        .flat_map(|row| row.peers.iter().map(|program| program.versions.as_str()))
        .collect();
    versions.sort_unstable();
    versions.dedup();
    format!(
        "{text}\nPeers: {}. The last of these runs:\n{}",
        versions.join("; "),
        page::origin_line(origin)
    )
}

#[cfg(test)]
mod tests {
    use super::super::cases::CASES;
    use super::super::rates::tests::rates;
    use super::*;

    fn turns(seconds: &[f64], peak_bytes: u64) -> Vec<Turn> {
        let turn = |&seconds: &f64| Turn {
            seconds,
            core_seconds: None,
            items: 4.0,
            peak_bytes: Some(peak_bytes),
        };
        seconds.iter().map(turn).collect()
    }

    fn row(tasks: usize) -> Row {
        let (mine, theirs) = (turns(&[1.0, 2.0, 1.0], 500), turns(&[3.0, 4.0, 2.0], 1000));
        let ours = Program::new("ours", "a 1", &mine, None).grown_from(&turns(&[0.5; 3], 1));
        let difference = Difference { outputs: 1e-6, gradients: Some(2e-4) };
        let peer = Program::new("theirs", "b 2", &theirs, Some((&mine, difference)));
        let precision = "fp32".to_owned();
        let device = "cpu".into();
        let setting = Setting { precision, tasks, batch: 4, size: 224, threads: 1, device };
        Row::new(&CASES[0], &setting, 3, (ours, vec![peer]))
    }

    fn alone(tasks: usize) -> Row {
        Row { peers: Vec::new(), ..row(tasks) }
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let text = row(4).to_string();
        let ours = "| ours | 1.000 | 4.00 | 0.00 | - | 2.00 (2.00 to 4.00) | - | - | - |";
        assert!(text.contains(ours), "{text}");
        let peer =
            "| theirs | 3.000 | 1.33 | 0.00 | 2.00 (2.00 to 3.00) | - | 0.50 | 1e-6, 2e-4 | - |";
        assert!(text.contains(peer), "{text}");
    }

    #[test]
    fn a_run_replaces_the_rows_of_its_settings_alone() {
        let folder = tempfile::tempdir().unwrap();
        note(folder.path(), vec![row(1), row(8)]).unwrap();
        note(folder.path(), vec![row(8)]).unwrap();
        let text = std::fs::read_to_string(folder.path().join("speed.md")).unwrap();
        assert_eq!(text.matches("| ours |").count(), 2, "{text}");
        assert!(text.contains("Peers: b 2."), "{text}");
        note(folder.path(), vec![alone(8)]).unwrap();
        let text = std::fs::read_to_string(folder.path().join("speed.md")).unwrap();
        assert_eq!([text.matches("| ours |").count(), text.matches("| theirs |").count()], [3, 2]);
        // Beside neighbours it is another measurement.
        note(folder.path(), vec![row(8).at(Some(rates(0))), row(8).at(Some(rates(2)))]).unwrap();
        let text = std::fs::read_to_string(folder.path().join("speed.md")).unwrap();
        let shown = ["| 225 GFLOP/s, 8.0 GB/s |", "| 225 GFLOP/s, 8.0 GB/s, 2 busy |"];
        assert_eq!(shown.map(|machine| text.matches(machine).count()), [2, 2]);
    }

    #[test]
    fn growth_is_drawn_once_there_is_some() {
        let folder = tempfile::tempdir().unwrap();
        let plot = folder.path().join(GROWTH);
        note(folder.path(), vec![alone(1), row(8)]).unwrap();
        assert!(!plot.exists());
        note(folder.path(), vec![alone(8)]).unwrap();
        let drawn = std::fs::read_to_string(&plot).unwrap();
        assert!(drawn.contains("mtlora fp32, 224 pixels, batch 4, 1 thread"), "{drawn}");
        let text = std::fs::read_to_string(folder.path().join("speed.md")).unwrap();
        assert!(text.contains("](growth.svg)"), "{text}");
    }
}
