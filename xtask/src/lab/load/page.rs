//! `serve.md`: requests, times, memory, and what went wrong.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;

use super::answers::Answers;
use super::client::Tally;
use super::flags::Load;
use super::rows::{Compared, ROUNDS, Row};
use crate::lab::machine::Origin;
use crate::lab::page;

const MIB: f64 = 1024.0 * 1024.0;

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
        "| | clients | seconds | answers | a second | p50 [ms] | p99 [ms] | refused (503) | broken | other status | wrong | memory [MiB] |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|\n",
    );
    for Row { what, clients, tally, memory } in rows {
        let memory = memory.map_or("-".into(), |[first, last]| {
            format!("{:.1} to {:.1}", first as f64 / MIB, last as f64 / MIB)
        });
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
    if let [ours, theirs] = compared {
        let middle = |tallies: &[Tally]| spread(tallies.iter().map(Tally::rate))[1];
        let ratio = |ours: &[Tally], theirs: &[Tally]| middle(ours) / middle(theirs);
        let (all, one) = (ratio(&ours.all, &theirs.all), ratio(&ours.one, &theirs.one));
        let _ = writeln!(text, "| ratio of the middles | {all:.2} | | | {one:.2} | | |");
    }
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
    let Load { clients, seconds, peer, .. } = flags;
    let peer = if peer.is_some() { " --peer PYTHON" } else { "" };
    format!("cargo xtask load RUN PHOTOGRAPHS --clients {clients} --seconds {seconds}{peer}")
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
        let text = table(&[row(Some([1 << 20, 3 << 20])), row(None)]);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines[0], "| overload | 8 | 2 | 3 | 1.5 | 2 | 9 | 4 | 0 | 0 | 0 | 1.0 to 3.0 |");
        assert!(lines[1].ends_with("| - |"));
        let compared = ["ours", "theirs"].map(|name| {
            let all = vec![tally.clone(); 3];
            Compared { name, all: all.clone(), one: all }
        });
        let text = comparison(&compared, 6);
        assert!(text.contains("| ours | 1.5, 1.5, 1.5 | 2 | 9 |"), "{text}");
        assert!(text.ends_with("| ratio of the middles | 1.00 | | | 1.00 | | |\n"), "{text}");
    }
}
