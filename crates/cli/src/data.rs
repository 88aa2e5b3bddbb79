//! `polyptych data`: whether a data set is fit to learn from, what it holds, and what it looks like.

mod bar;
mod facts;
mod new;
mod said;

use std::process::ExitCode;

use anyhow::{Context, Result};
use polyptych_engine::{AugmentConfig, ContactSheet, contact_sheet, validate_data, write_copy};

use self::bar::{bar, progress};
use crate::flags::{DataCheckFlags, DataCommand, DataMakeFlags, DataShowFlags};
use crate::output::say;
pub(crate) use new::manifest_of;

pub(crate) fn run(command: &DataCommand) -> Result<ExitCode> {
    match command {
        DataCommand::Check(flags) => check(flags),
        DataCommand::Facts(flags) => done(facts::run(flags)),
        DataCommand::Show(flags) => done(show(flags)),
        DataCommand::New(flags) => done(new::run(flags)),
        DataCommand::Make(flags) => done(copy(flags)),
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

fn copy(flags: &DataMakeFlags) -> Result<()> {
    let written = write_copy(&flags.name, &flags.folder)?;
    for (split, images) in &written.images {
        let labels = written.labels.iter().filter(|((known, _), _)| known == split);
        let labels = labels.map(|((_, task), (count, _))| format!("{task} {count}"));
        let labels = labels.collect::<Vec<_>>().join(", ");
        say!("{split}: {images} images; labels: {labels}");
    }
    Ok(())
}

fn check(flags: &DataCheckFlags) -> Result<ExitCode> {
    let bar = bar();
    let report = validate_data(
        &flags.manifest,
        flags.root.as_deref(),
        flags.follow_links,
        &flags.splits,
        &progress(&bar),
    )?;
    bar.finish_and_clear();
    said::marks(&report).iter().for_each(|line| say!("{line}"));
    for problem in &report.problems {
        say!("{}", said::line(problem));
    }
    said::labels(&report).iter().for_each(|line| say!("{line}"));
    say!("{}", said::summary(&report));
    let good = report.problems.is_empty();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
