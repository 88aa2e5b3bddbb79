//! `serve.md`: requests, times, memory, and what went wrong.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;

use super::answers::Answers;
use super::client::Tally;
use super::flags::Load;
use super::rows::{Compared, FLAT, ROUNDS, Row};
use crate::lab::machine::Origin;
use crate::lab::page;

const MIB: f64 = 1024.0 * 1024.0;
/// How many times the answers of eager PyTorch are the goal.
const RATIO: f64 = 2.0;

/// Writes the page and returns its path.
pub(super) fn write(
    flags: &Load,
    answers: &Answers,
    (rows, compared): (&[Row], &[Compared]),
    origin: &Origin,
) -> Result<PathBuf> {
    let path = flags.out.join("serve.md");
    let command = command(flags);
    let mut block = table(rows);
    if !compared.is_empty() {
        block += &comparison(compared, answers.tasks.len());
    }
    block += &goals(rows, compared);
    // Writing to a string does not fail.
    let _ = write!(
        block,
        "\n{} photographs, {} tasks; clients and servers share the machine.\n\nMade by `{command}`.\n{}",
        answers.photographs.len(),
        answers.tasks.len(),
        page::origin_line(origin)
    );
    let old = std::fs::read_to_string(&path).ok();
    let text =
        page::renew(old.as_deref(), "A server under load", &page::generated(&command, &block))?;
    page::write(&path, &text)?;
    Ok(path)
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| | clients | seconds | answers | a second | p50 [ms] | p99 [ms] | refused (503) | broken | other status | wrong | memory behind the warm-up and each quarter [MiB] |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|\n",
    );
    for Row { what, clients, tally, memory } in rows {
        let memory = memory.iter().map(|bytes| format!("{:.1}", *bytes as f64 / MIB));
        let memory = memory.collect::<Vec<_>>().join(", ");
        let memory = if memory.is_empty() { "-".to_owned() } else { memory };
        let Tally { refused, broken, failed, wrong, seconds, .. } = tally;
        let (answers, rate) = (tally.times.len(), tally.rate());
        let (p50, p99) = (tally.quantile(0.5), tally.quantile(0.99));
        let _ = writeln!(
            text,
            "| {what} | {clients} | {seconds:.0} | {answers} | {rate:.1} | {p50:.0} | {p99:.0} | \
             {refused} | {broken} | {failed} | {wrong} | {memory} |"
        );
    }
    text
}

fn comparison(compared: &[Compared], tasks: usize) -> String {
    let mut text = format!(
        "\n| answers a second, {ROUNDS} rounds: least, middle, most | all {tasks} tasks | p50 [ms] | p99 [ms] | one task | p50 [ms] | p99 [ms] |\n\
         |---|---:|---:|---:|---:|---:|---:|\n"
    );
    for Compared { name, all, one } in compared {
        let cells = [all, one].map(|tallies| {
            let [low, middle, high] = spread(tallies.iter().map(Tally::rate));
            let [_, p50, _] = spread(tallies.iter().map(|tally| f64::from(tally.quantile(0.5))));
            let [_, p99, _] = spread(tallies.iter().map(|tally| f64::from(tally.quantile(0.99))));
            format!("{low:.1}, {middle:.1}, {high:.1} | {p50:.0} | {p99:.0}")
        });
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    let middle = |tallies: &[Tally]| spread(tallies.iter().map(Tally::rate))[1];
    let ratio = |ours: &[Tally], theirs: &[Tally]| middle(ours) / middle(theirs);
    let Some((ours, others)) = compared.split_first() else { return text };
    for theirs in others {
        let (all, one) = (ratio(&ours.all, &theirs.all), ratio(&ours.one, &theirs.one));
        let name = format!("ratio of the middles to {}", theirs.name);
        let _ = writeln!(text, "| {name} | {all:.2} | | | {one:.2} | | |");
    }
    text
}

/// Which goals of the server are met.
fn goals(rows: &[Row], compared: &[Compared]) -> String {
    let met = |is: bool| if is { "met" } else { "missed" };
    let lost = |row: &Row| row.tally.wrong + row.tally.failed;
    let whole =
        rows.iter().all(|row| lost(row) == 0 && (row.memory.is_empty() || row.tally.broken == 0));
    let mut text = format!("\nGoals: no answer is lost or another client's: {}.", met(whole));
    let growth = rows.iter().filter_map(Row::growth).fold(f64::NAN, f64::max);
    let flat = met(growth <= FLAT);
    let _ = write!(
        text,
        " Memory at the end is at most {FLAT} x that behind the first quarter: {growth:.3}, {flat}."
    );
    if let [ours, eager, ..] = compared {
        let middle = |tallies: &[Tally]| spread(tallies.iter().map(Tally::rate))[1];
        let ratio = middle(&ours.all) / middle(&eager.all);
        let twice = met(ratio >= RATIO);
        let _ = write!(
            text,
            " Answers a second are {RATIO} x those of eager PyTorch: {ratio:.2}, {twice}."
        );
    }
    text.push('\n');
    text
}

/// Least, middle and largest.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    [at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1))]
}

fn command(flags: &Load) -> String {
    let Load { clients, seconds, other_seconds, peer_seconds, .. } = flags;
    let mut words = vec!["cargo xtask load".to_owned()];
    words.extend(flags.run.as_ref().map(|_| "RUN".to_owned()));
    words.extend(flags.photographs.as_ref().map(|_| "PHOTOGRAPHS".to_owned()));
    words.push(format!("--clients {clients} --seconds {seconds}"));
    words.extend(other_seconds.map(|seconds| format!("--other-seconds {seconds}")));
    words.extend(
        flags.peer.as_ref().map(|_| format!("--peer PYTHON --peer-seconds {peer_seconds}")),
    );
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_tell_all_that_happened() {
        let tally =
            Tally { times: vec![1.0, 2.0, 9.0], refused: 4, seconds: 2.0, ..Tally::default() };
        let row =
            |memory| Row { what: "overload".into(), clients: 8, tally: tally.clone(), memory };
        let text = table(&[row(vec![1 << 20, 2 << 20, 3 << 20]), row(vec![])]);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines[0],
            "| overload | 8 | 2 | 3 | 1.5 | 2 | 9 | 4 | 0 | 0 | 0 | 1.0, 2.0, 3.0 |"
        );
        assert!(lines[1].ends_with("| - |"));
        let compared = ["ours", "theirs", "script"].map(|name| {
            let all = vec![tally.clone(); 3];
            Compared { name, all: all.clone(), one: all }
        });
        let text = comparison(&compared, 6);
        assert!(text.contains("| ours | 1.5, 1.5, 1.5 | 2 | 9 |"), "{text}");
        let ratio = "| ratio of the middles to script | 1.00 | | | 1.00 | | |\n";
        assert!(text.ends_with(ratio), "{text}");
        let goals = goals(&[row(vec![1 << 20, 2 << 20, 3 << 20]), row(vec![])], &compared);
        assert!(goals.contains("another client's: met."), "{goals}");
        assert!(goals.contains("first quarter: 1.500, missed."), "{goals}");
        assert!(goals.contains("2 x those of eager PyTorch: 1.00, missed."), "{goals}");
    }
}
