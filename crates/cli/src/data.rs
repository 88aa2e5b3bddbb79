//! `polyptych data`: whether a data set is fit to learn from, what it holds, and what it looks like.

mod facts;
mod new;
mod said;

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use polyptych_engine::{AugmentConfig, ContactSheet, contact_sheet, make, survey};

use crate::flags::{DataCheckFlags, DataCommand, DataMakeFlags, DataShowFlags};
use crate::output::say;
pub(crate) use new::manifest_of;

pub(crate) fn run(command: &DataCommand) -> Result<ExitCode> {
    match command {
        DataCommand::Check(flags) => check(flags),
        DataCommand::Facts(flags) => done(facts::run(flags)),
        DataCommand::Show(flags) => done(show(flags)),
        DataCommand::New(flags) => done(new::run(flags)),
        DataCommand::Make(flags) => done(made(flags)),
    }
}

fn done(result: Result<()>) -> Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}

fn show(flags: &DataShowFlags) -> Result<()> {
    let augment = flags.augment.as_deref().map(AugmentConfig::parse).transpose()?;
    let sheet = ContactSheet {
        manifest: flags.manifest.clone(),
        root: flags.root.clone(),
        follow_links: flags.follow_links,
        split: flags.split.clone(),
        samples: flags.samples,
        side: flags.side.clamp(16, 2048),
        augment,
        seed: flags.seed,
    };
    let picture = contact_sheet(&sheet)?;
    picture.save(&flags.out).with_context(|| flags.out.display().to_string())?;
    say!("{}", flags.out.display());
    Ok(())
}

fn made(flags: &DataMakeFlags) -> Result<()> {
    let made = make(&flags.name, &flags.folder)?;
    for (split, images) in &made.images {
        let labels = made.labels.iter().filter(|((known, _), _)| known == split);
        let labels = labels.map(|((_, task), (count, _))| format!("{task} {count}"));
        let labels = labels.collect::<Vec<_>>().join(", ");
        say!("{split}: {images} images; labels: {labels}");
    }
    Ok(())
}

fn check(flags: &DataCheckFlags) -> Result<ExitCode> {
    let bar = bar();
    let survey = survey(
        &flags.manifest,
        flags.root.as_deref(),
        flags.follow_links,
        &flags.splits,
        &progress(&bar),
    )?;
    bar.finish_and_clear();
    said::marks(&survey).iter().for_each(|line| say!("{line}"));
    for problem in &survey.problems {
        say!("{}", said::line(problem));
    }
    said::labels(&survey).iter().for_each(|line| say!("{line}"));
    say!("{}", said::summary(&survey));
    let good = survey.problems.is_empty();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A bar, and what moves it.
pub(crate) fn progress(bar: &ProgressBar) -> impl Fn(&str, usize, usize) + Sync + '_ {
    |split, done, len| {
        bar.set_length(len as u64);
        bar.set_position(done as u64);
        if done == 1 {
            bar.set_message(split.to_owned());
        }
    }
}

pub(crate) fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} eta {eta} {msg}");
    ProgressBar::new(0).with_style(style.expect("the template is a constant"))
}
