//! `polyptych data facts`: numbers, sizes and ranges of values of a data set.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use polyptych_engine::{Histogram, SplitFacts, TaskFacts, facts};

use super::bar::{bar, progress};
use crate::command::Subcommand;
use crate::output::say;

/// Values of classes that are shown one by one.
const SHOWN: usize = 6;
const NO_LABEL: u32 = 255;

/// Print counts, sizes and value ranges, and which published variant the data set is
#[derive(Debug, Parser)]
#[command(
    name = "facts",
    after_help = "Examples:\n  polyptych data facts datasets/nyud.toml --root DIR"
)]
pub(crate) struct Facts {
    /// The manifest, such as datasets/nyud.toml
    manifest: PathBuf,
    /// Folder of the data set [default: data/NAME after the manifest]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Read images that symbolic links outside of the folder lead to
    #[arg(long)]
    follow_links: bool,
}

impl Subcommand for Facts {
    fn run(flags: &Self) -> Result<ExitCode> {
        let bar = bar();
        let facts =
            facts(&flags.manifest, flags.root.as_deref(), flags.follow_links, &progress(&bar))?;
        bar.finish_and_clear();
        match (&facts.variant, facts.misfits.as_slice()) {
            (Some(variant), _) => say!("copy: {variant}"),
            (None, []) => say!("copy: the manifest describes no variants"),
            (None, misfits) => {
                say!("copy: not one of the known variants");
                misfits.iter().for_each(|misfit| say!("  not {misfit}"));
            }
        }
        facts.splits.iter().for_each(print);
        Ok(ExitCode::SUCCESS)
    }
}

fn print(split: &SplitFacts) {
    let bad = match split.unreadable {
        0 => String::new(),
        count => format!(", {count} of them unreadable (`polyptych data check` says why)"),
    };
    say!("{}: {} images{bad}; {}", split.name, split.images, sizes(split));
    for task in &split.tasks {
        say!("  {}: {}", task.spec.name, describe(task));
    }
}

fn sizes(split: &SplitFacts) -> String {
    let mut sizes: Vec<_> = split.sizes.iter().collect();
    sizes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let shown =
        sizes.iter().take(SHOWN).map(|([height, width], n)| format!("{height} x {width}: {n}"));
    let mut shown: Vec<String> = shown.collect();
    if sizes.len() > SHOWN {
        shown.push(format!("{} more sizes", sizes.len() - SHOWN));
    }
    shown.join(", ")
}

fn describe(task: &TaskFacts) -> String {
    let mut parts = vec![format!("{} labels", task.labels)];
    if task.resized > 0 {
        parts.push(format!("{} of another size than their image", task.resized));
    }
    if let Some([near, far]) = task.metres {
        parts.push(format!("{near:.3} to {far:.3} m"));
    } else if !task.spec.classes.is_empty() {
        parts.push(classes(task));
    } else if let Some(share) = share(&task.histogram, 1) {
        parts.push(format!("{share:.1} % present"));
    }
    if let Some(void) = share(&task.histogram, NO_LABEL) {
        parts.push(format!("{void:.1} % without label"));
    }
    parts.join("; ")
}

/// How many classes occur, and the commonest of them.
fn classes(task: &TaskFacts) -> String {
    let Histogram(counts) = &task.histogram;
    let mut seen: Vec<_> = counts.iter().filter(|(class, _)| **class != NO_LABEL).collect();
    seen.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let name = |class: u32| task.spec.classes.get(class as usize).map_or("?", String::as_str);
    let shown = seen.iter().take(SHOWN).filter_map(|(class, _)| {
        Some(format!("{} {:.1} %", name(**class), share(&task.histogram, **class)?))
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    format!("{} of {} classes: {shown}", seen.len(), task.spec.classes.len())
}

/// Percentage of a value, if it occurs.
fn share(Histogram(counts): &Histogram, value: u32) -> Option<f64> {
    let all: u64 = counts.values().sum();
    counts.get(&value).map(|count| 100.0 * *count as f64 / all as f64)
}
