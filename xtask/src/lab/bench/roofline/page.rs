//! `roofline.json`, `roofline.md` and `roofline.svg`: the last run of each setting.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use super::super::setting::in_threads;
use super::super::spread::Spread;
use super::plot;
use super::run::{Piece, Role, Run};
use crate::lab::machine::Origin;
use crate::lab::page;

const HEAD: &str = "\
    Each group makes the calls that one training step of MTLoRA on Swin-T makes, at its shapes, \
    forward and back where nothing else is said. GFLOP and GB are what it cannot do without: \
    operations by the formula, inputs read once, outputs and gradients written once, what is kept \
    for the way back written and read once. The roof of a group is the lower of the rate of the \
    largest product and of the bandwidth times the operations for each byte, and *of the roof* is \
    the least time by it over the measured one; small arrays stay in caches, so more than 100 % can \
    come. Groups, ceilings and the whole step took turns, and times are medians of rounds with their \
    quartiles in brackets. *Of the step* is a group's time over that of the whole step.\n";

/// Puts a run in the place of the same setting's last one.
///
/// # Errors
/// Results that cannot be read or written.
pub(super) fn note(folder: &Path, run: Run) -> Result<()> {
    let path = |ending: &str| folder.join(format!("roofline.{ending}"));
    let (json, text) = (path("json"), path("md"));
    let mut all: BTreeMap<String, Run> = match std::fs::read_to_string(&json) {
        Ok(old) => serde_json::from_str(&old).with_context(|| json.display().to_string())?,
        Err(_) => BTreeMap::new(),
    };
    let origin = Origin::read();
    let run = Run { commit: origin.git.short(), ..run };
    all.insert(run.key(), run);
    page::write_data(&json, &all)?;
    let runs: Vec<&Run> = all.values().collect();
    page::write(&path("svg"), &plot::draw(&runs)?)?;
    let block = page::generated("cargo xtask bench --roofline", &block(&runs, &origin));
    let old = std::fs::read_to_string(&text).ok();
    page::write(&text, &page::renew(old.as_deref(), "Roofline", &block)?)
}

fn block(runs: &[&Run], origin: &Origin) -> String {
    let sections: Vec<String> = runs.iter().map(|run| section(run)).collect();
    format!(
        "{HEAD}\n![Rate of every group against operations for each byte](roofline.svg)\n\n{}\n\
         The last of these runs:\n{}",
        sections.join("\n"),
        page::origin_line(origin)
    )
}

fn section(run: &Run) -> String {
    let Run { precision, tasks, batch, size, versions, commit, .. } = run;
    let threads = in_threads(run.threads);
    let groups: String = run.of(Role::Group).map(|piece| line(run, piece)).collect();
    format!(
        "## {precision}: {size} pixels, batch {batch}, {tasks} tasks, {threads}\n\n\
         {versions} at commit {commit}, {} rounds.\n\n\
         | ceiling | rate | ms |\n|---|---|---|\n{}\n\
         | group | calls | GFLOP | GB | FLOP/byte | ms | GFLOP/s | GB/s | of the roof | of the step |\n\
         |---|---|---|---|---|---|---|---|---|---|\n{groups}{}\n",
        run.rounds(),
        ceilings(run),
        rest(run)
    )
}

fn ceilings(run: &Run) -> String {
    let line = |piece: &Piece, rate: f64, unit: &str| {
        format!("| {} | {:.1} {unit} | {} |\n", piece.name, rate / 1e9, milliseconds(piece))
    };
    let products = run.of(Role::Products).map(|p| line(p, p.flop_rate(), "GFLOP/s"));
    let memory = run.of(Role::Memory).map(|p| line(p, p.byte_rate(), "GB/s"));
    products.chain(memory).collect()
}

fn line(run: &Run, piece: &Piece) -> String {
    let (seconds, Piece { name, calls, flops, bytes, .. }) = (piece.seconds(), piece);
    format!(
        "| {name} | {calls} | {:.2} | {:.3} | {:.2} | {} | {:.1} | {:.1} | {:.0} % | {:.1} % |\n",
        flops / 1e9,
        bytes / 1e9,
        piece.intensity(),
        milliseconds(piece),
        piece.flop_rate() / 1e9,
        piece.byte_rate() / 1e9,
        100.0 * run.least_s(piece) / seconds.median,
        100.0 * seconds.median / run.step_s()
    )
}

/// Median and quartiles.
fn milliseconds(piece: &Piece) -> String {
    let Spread { low, median, high } = piece.seconds();
    let [low, median, high] = [low, median, high].map(|seconds| 1e3 * seconds);
    format!("{median:.1} ({low:.1} to {high:.1})")
}

/// What no group has, and all together.
fn rest(run: &Run) -> String {
    let (step, [groups, least]) = (run.step_s(), run.groups_s());
    let row = |name: &str, seconds: f64, roof: &str| {
        let share = 100.0 * seconds / step;
        format!("| {name} | | | | | {:.1} | | | {roof} | {share:.1} % |\n", 1e3 * seconds)
    };
    let roof = format!("{:.0} %", 100.0 * least / groups);
    row("**all groups**", groups, &roof)
        + &row(
            "**rest**: sums with low-rank terms and of gradients, casts, cutting for merging, \
                patch embedding, the other losses, bookkeeping",
            step - groups,
            "",
        )
        + &row("**step**", step, "")
        + &format!(
            "\nAt their roofs the groups would take {:.0} ms, {:.0} % of the step.",
            1e3 * least,
            100.0 * least / step
        )
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::run;
    use super::*;

    #[test]
    fn rates_stand_beside_their_roofs() {
        let text = section(&run());
        let products = "| products | 8 | 100.00 | 1.000 | 100.00 | 2000.0 (2000.0 to 2000.0) | 50.0 \
                        | 0.5 | 50 % | 44.4 % |";
        assert!(text.contains(products), "{text}");
        assert!(text.contains("| copies | 2 | 0.00 | 4.000 | 0.00 |"), "{text}");
        assert!(text.contains("| large | 100.0 GFLOP/s | 1000.0 (1000.0 to 1000.0) |"), "{text}");
        assert!(text.contains("| 1000.0 | | |  | 22.2 % |"), "{text}");
        assert!(text.contains("would take 1500 ms, 33 % of the step"), "{text}");
    }

    #[test]
    fn a_run_takes_the_place_of_its_setting_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (precision, tasks) in [("fp32", 4), ("bf16", 4), ("fp32", 4), ("fp32", 8)] {
            note(folder.path(), Run { precision: precision.into(), tasks, ..run() }).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let text = read("roofline.md");
        assert_eq!(text.matches("\n## ").count(), 3, "{text}");
        assert!(text.contains("<!-- generated: cargo xtask bench --roofline -->"), "{text}");
        assert_eq!(read("roofline.svg").matches("bandwidth").count(), 3);
        let all: BTreeMap<String, Run> = serde_json::from_str(&read("roofline.json")).unwrap();
        assert_eq!(all.len(), 3);
    }
}
