//! The files of a comparison: data, page and plots.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::flags::Reproduce;
use super::job::Job;
use super::plan::Plan;
use super::summary::{self, Summary};
use super::tune::Tuning;
use super::{curves, excerpts, kept, markdown, plot, ranked, rows, spread};
use crate::lab::page;

/// Writes `<recipe>.json`, `.md`, `.svg`, `.ranked.svg` and `.curves.svg`, and returns their paths.
pub(crate) fn all(
    job: &Job,
    flags: &Reproduce,
    plan: &Plan,
    tuning: Option<&Tuning>,
) -> Result<Vec<PathBuf>> {
    let (origin, command) = (&job.trainer.origin, command(flags));
    let kept = kept(plan, flags)?;
    let rows = rows::all(plan, flags.seeds, origin, &kept)?;
    let page = markdown::Page { plan, rows: &rows, tuning, command };
    let path = |end: &str| flags.out.join(format!("{}.{end}", plan.name));
    let (data, text) = (path("json"), path("md"));
    let readable = machine_readable(job, &page);
    let plots: Vec<(&str, String)> = [
        ("svg", plot::draw(plan, &rows)?),
        ("ranked.svg", ranked::draw(&readable)?),
        ("curves.svg", curves::draw(plan, &rows, flags.seeds)?),
    ]
    .into_iter()
    .filter_map(|(end, plot)| Some((end, plot?)))
    .collect();
    let ends: Vec<&str> = plots.iter().map(|(end, _)| *end).collect();
    let old = std::fs::read_to_string(&text).ok();
    let new = markdown::renew(old.as_deref(), &page, &ends);
    page::write(&text, &new.with_context(|| text.display().to_string())?)?;
    page::write_data(&data, &readable)?;
    let mut paths = vec![data, text];
    for (end, plot) in plots {
        page::write(&path(end), &plot)?;
        paths.push(path(end));
    }
    paths.extend(excerpts::renew(&flags.out, &plan.name, &rows)?);
    Ok(paths)
}

/// What the table has of rows whose runs are elsewhere.
pub(crate) fn kept(plan: &Plan, flags: &Reproduce) -> Result<Vec<Summary>> {
    kept::rows(&flags.out.join(format!("{}.json", plan.name)), plan)
}

fn machine_readable(job: &Job, page: &markdown::Page) -> serde_json::Value {
    json!({
        "recipe": page.plan.name,
        "digest": page.plan.digest,
        "description": page.plan.description,
        "command": page.command,
        "made_with": job.trainer.origin,
        "spread": spread::DEFINITION,
        "wall_s": summary::wall(page.rows),
        "rows": page.rows,
    })
}

/// The command as one would type it again.
pub(crate) fn command(flags: &Reproduce) -> String {
    let mut words = vec![format!("cargo xtask reproduce {}", flags.recipe)];
    words.extend(flags.tune.then(|| "--tune".to_owned()));
    words.extend(flags.tuned.then(|| "--tuned".to_owned()));
    // Trials have seeds of their own.
    words.extend((!flags.tune).then(|| format!("--seeds {}", flags.seeds)));
    words.extend((flags.first_seed > 0).then(|| format!("--first-seed {}", flags.first_seed)));
    if flags.out != Path::new("docs/results") {
        words.push(format!("--out {}", flags.out.display()));
    }
    if !flags.rows.is_empty() {
        words.push(format!("--rows '{}'", flags.rows.join(",")));
    }
    words.join(" ")
}
