//! What all kills did, as a page.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::flags::Torture;
use super::moment::Moment;
use super::ranks::Target;
use super::victim::Wound;
use crate::lab::machine::Origin;
use crate::lab::page;

/// Counts over all kills.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Kills.
    pub(super) kills: u64,
    /// Runs that came to their end.
    pub(super) runs: u64,
    /// Seconds that everything took.
    pub(super) seconds: f64,
    /// Step, and bytes that the run left alone held then.
    memory: Vec<(u64, u64)>,
    moments: BTreeMap<Moment, u64>,
    targets: BTreeMap<Target, u64>,
    /// Kills of a rank that another rank named.
    named: u64,
}

impl Report {
    /// Before the first kill; `memory` of the run left alone.
    pub(super) fn of(memory: Vec<(u64, u64)>) -> Self {
        Self { memory, ..Self::default() }
    }

    /// Counts a kill; one that lost a checkpoint ends everything.
    pub(super) fn count(&mut self, wound: &Wound) -> Result<()> {
        self.kills += 1;
        *self.moments.entry(wound.moment).or_default() += 1;
        let [before, now] = wound.steps;
        if now < before {
            bail!("kill {}: expected the checkpoint of step {before:?}, found {now:?}", self.kills);
        }
        Ok(())
    }

    /// Counts whom a kill has met, where there are several, and whether another rank named it.
    pub(super) fn count_target(&mut self, target: Target, named: bool) {
        *self.targets.entry(target).or_default() += 1;
        self.named += u64::from(named);
    }

    /// Writes the page and returns its path.
    pub(super) fn write(&self, flags: &Torture, origin: &Origin) -> Result<PathBuf> {
        let name = match flags.nproc {
            1 => "torture.md",
            _ => "torture-ranks.md",
        };
        let path = flags.out.join(name);
        let command = command(flags);
        let block = self.block(&command, origin);
        let old = std::fs::read_to_string(&path).ok();
        let generated = page::generated(&command, &block);
        page::write(&path, &page::renew(old.as_deref(), title(flags), &generated)?)?;
        Ok(path)
    }

    fn memory(&self) -> String {
        let at = |&(step, bytes): &(u64, u64)| format!("{} MiB at step {step}", bytes >> 20);
        self.memory.iter().map(at).collect::<Vec<_>>().join(", ")
    }

    fn targets(&self) -> String {
        if self.targets.is_empty() {
            return String::new();
        }
        let mut lines = String::from("\n| process | times |\n|---|---:|\n");
        for (target, times) in &self.targets {
            // Writing to a string does not fail.
            let _ = writeln!(lines, "| {target} | {times} |");
        }
        let ranks: u64 = self.targets.iter().filter(|(t, _)| t.is_rank()).map(|(_, n)| n).sum();
        format!(
            "{lines}\nAfter every kill all processes ended. Ranks that were killed and named by \
             another rank: {} of {ranks}; the others had not met, or were done.\n",
            self.named
        )
    }

    fn block(&self, command: &str, origin: &Origin) -> String {
        let mut lines = String::from("| killed | times |\n|---|---:|\n");
        for (moment, times) in &self.moments {
            // Writing to a string does not fail.
            let _ = writeln!(lines, "| {} | {times} |", moment.text());
        }
        let _ = writeln!(lines, "| all | {} |", self.kills);
        lines += &self.targets();
        format!(
            "{lines}\nCheckpoints lost: 0.\nRuns that came to their end: {}, all with the bytes of \
             the run left alone (weights, optimiser, memory).\n\
             Resident memory of the run left alone: {}.\n\nMade by `{command}` in {:.0} s.\n{}",
            self.runs,
            self.memory(),
            self.seconds,
            page::origin_line(origin)
        )
    }
}

fn title(flags: &Torture) -> &'static str {
    match flags.nproc {
        1 => "Runs that are killed",
        _ => "Runs of several processes that are killed",
    }
}

/// The command as one would type it again.
fn command(flags: &Torture) -> String {
    let Torture { recipe, kills, nproc, steps, life, seed, sets, .. } = flags;
    let nproc = if *nproc == 1 { String::new() } else { format!(" --nproc {nproc}") };
    let sets: String = sets.iter().map(|set| format!(" --set '{set}'")).collect();
    format!(
        "cargo xtask torture --recipe {recipe} --kills {kills}{nproc} --steps {steps} --life {life} \
         --seed {seed}{sets}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_checkpoint_is_an_error() {
        let mut report = Report::of(vec![(9, 3 << 20)]);
        let wound = |steps| Wound { moment: Moment::BetweenCheckpoints, steps };
        report.count(&wound([None, Some(3)])).unwrap();
        report.count(&wound([Some(3), Some(3)])).unwrap();
        let block = report.block("make", &Origin::default());
        assert!(block.contains("run left alone: 3 MiB at step 9."), "{block}");
        assert!(block.contains("| between checkpoints | 2 |") && block.contains("| all | 2 |"));
        assert!(!block.contains("| process |"), "{block}");
        report.count_target(Target::Rank(1), true);
        report.count_target(Target::Starter, false);
        let block = report.block("make", &Origin::default());
        assert!(block.contains("| rank 1 | 1 |") && block.contains("another rank: 1 of 1;"));
        for now in [Some(2), None] {
            assert!(report.count(&wound([Some(3), now])).is_err());
        }
    }
}
