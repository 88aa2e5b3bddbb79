//! `cargo xtask claims`: what papers claim, beside what our tables show.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use serde::Deserialize;

use crate::command::Subcommand;
use crate::lab::page;
use crate::workspace;

const FOLDER: &str = "docs/results";
const COMMAND: &str = "cargo xtask claims";
const HEAD: &str = "\
| paper | claim | table | compared | gain [%] | trainable, first / second | |
|---|---|---|---|---:|---:|---|
";

/// Write docs/results/claims.md: claims of papers, and what the tables there say of them
#[derive(Parser)]
#[command(name = "claims")]
pub(crate) struct Claims {}

impl Subcommand for Claims {
    fn run(_: &Self) -> Result<ExitCode> {
        let folder = workspace::root().join(FOLDER);
        let path = folder.join("claims.md");
        page::write(&path, &renewed(&folder)?)?;
        println!("{}", path.display());
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    claim: Vec<Claim>,
}

/// A sentence of a paper, and what tests it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    paper: String,
    says: String,
    /// Pairs whose first row has to beat the second.
    #[serde(default)]
    above: Vec<Pair>,
    /// Pairs whose first row may not fall below the second.
    #[serde(default)]
    near: Vec<Pair>,
    /// Another page that measures it.
    elsewhere: Option<String>,
    /// Why no table tests it.
    not_tested: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    table: String,
    first: String,
    second: String,
}

#[derive(Deserialize)]
struct Table {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    trainable: f64,
    scores: Vec<Score>,
}

/// One score of one task, of every seed.
#[derive(Deserialize)]
struct Score {
    task: String,
    headline: bool,
    name: String,
    higher_is_better: bool,
    values: Vec<f64>,
}

/// By how much a row is better than another, over seeds.
#[derive(Debug, PartialEq)]
struct Gain {
    /// Mean relative change of the tasks' scores, in percent.
    mean: f64,
    /// Sample standard deviation; none for one seed.
    sd: Option<f64>,
}

/// The page with a new block; prose around the old one stays.
fn renewed(folder: &Path) -> Result<String> {
    let named = |file: &str| folder.join(file).display().to_string();
    let text =
        fs::read_to_string(folder.join("claims.toml")).with_context(|| named("claims.toml"))?;
    let listed: Listed = toml::from_str(&text).with_context(|| named("claims.toml"))?;
    let old = fs::read_to_string(folder.join("claims.md")).ok();
    let block = page::generated(COMMAND, &block(folder, &listed.claim)?);
    page::renew(old.as_deref(), "Claims", &block).with_context(|| named("claims.md"))
}

fn block(folder: &Path, claims: &[Claim]) -> Result<String> {
    let mut block = HEAD.to_owned();
    for claim in claims {
        for line in lines(folder, claim)? {
            let Claim { paper, says, .. } = claim;
            let _ = writeln!(block, "| {paper} | {says} | {line} |");
        }
    }
    Ok(block)
}

/// The cells behind the claim, a line for each pair.
fn lines(folder: &Path, claim: &Claim) -> Result<Vec<String>> {
    let above = claim.above.iter().map(|pair| tested(folder, pair, is_above));
    let near = claim.near.iter().map(|pair| tested(folder, pair, is_near));
    let elsewhere = claim.elsewhere.iter().map(|page| Ok(format!("{page} | | | | see there")));
    let not = claim.not_tested.iter().map(|why| Ok(format!("{why} | | | | not tested here")));
    above.chain(near).chain(elsewhere).chain(not).collect()
}

fn tested(folder: &Path, pair: &Pair, holds: fn(&Gain) -> &'static str) -> Result<String> {
    let Pair { table, first, second } = pair;
    let path = folder.join(format!("{table}.json"));
    let named = || path.display().to_string();
    let rows: Table = serde_json::from_str(&fs::read_to_string(&path).with_context(named)?)
        .with_context(named)?;
    let row = |name: &str| {
        let found = rows.rows.iter().find(|row| row.name == *name);
        found.with_context(|| format!("{}: expected a row {name}, found none", named()))
    };
    let (one, other) = (row(first)?, row(second)?);
    let gain = gain(one, other).with_context(|| format!("{}: {first}, {second}", named()))?;
    let ratio = one.trainable / other.trainable;
    Ok(format!(
        "[{table}]({table}.md) | {first} over {second} | {gain} | {ratio:.2} | {}",
        holds(&gain)
    ))
}

/// The delta-m of `one` against `other`, seed by seed.
fn gain(one: &Row, other: &Row) -> Result<Gain> {
    let mut gains: Vec<Vec<f64>> = Vec::new();
    for score in one.scores.iter().filter(|score| score.headline) {
        let same = |s: &&Score| s.headline && s.task == score.task && s.name == score.name;
        let base = other.scores.iter().find(same);
        let base = base.with_context(|| format!("expected {} of {}", score.name, score.task))?;
        let sign = if score.higher_is_better { 100.0 } else { -100.0 };
        let pairs = score.values.iter().zip(&base.values);
        gains.push(pairs.map(|(found, base)| sign * (found - base) / base).collect());
    }
    let seeds = gains.iter().map(Vec::len).min().unwrap_or_default();
    anyhow::ensure!(seeds > 0, "expected scores of at least one seed, found none");
    let of_seed = |seed: usize| gains.iter().map(|g| g[seed]).sum::<f64>() / gains.len() as f64;
    Ok(spread(&(0..seeds).map(of_seed).collect::<Vec<f64>>()))
}

fn spread(values: &[f64]) -> Gain {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let sd = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
    Gain { mean, sd }
}

impl std::fmt::Display for Gain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:+.2}", self.mean)?;
        match self.sd {
            Some(sd) => write!(f, " ± {sd:.2}"),
            None => Ok(()),
        }
    }
}

fn is_above(gain: &Gain) -> &'static str {
    match gain.sd {
        Some(sd) if gain.mean > sd => "reproduced",
        Some(sd) if gain.mean >= -sd => "not reproduced: within the spread",
        Some(_) => "not reproduced: below",
        None => "one seed says nothing",
    }
}

fn is_near(gain: &Gain) -> &'static str {
    match gain.sd {
        Some(sd) if gain.mean >= -sd => "reproduced",
        Some(_) => "not reproduced: below",
        None => "one seed says nothing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, miou: &[f64], angle: &[f64]) -> Row {
        let score = |task: &str, higher_is_better, values: &[f64]| Score {
            task: task.into(),
            headline: true,
            name: "score".into(),
            higher_is_better,
            values: values.to_vec(),
        };
        let other = Score { headline: false, ..score("semseg", true, &[0.0; 2]) };
        let scores = vec![other, score("semseg", true, miou), score("normals", false, angle)];
        Row { name: name.into(), trainable: 1.0, scores }
    }

    #[test]
    fn a_gain_is_the_mean_relative_change_of_every_seed() {
        let (one, other) = (row("a", &[55.0, 50.0], &[9.0, 9.0]), row("b", &[50.0; 2], &[10.0; 2]));
        // 10 and 10, then 0 and 10.
        let found = gain(&one, &other).unwrap();
        assert!((found.mean - 7.5).abs() < 1e-9, "{found}");
        assert!((found.sd.unwrap() - 12.5f64.sqrt()).abs() < 1e-9, "{found}");
    }

    #[test]
    fn verdicts_follow_the_spread() {
        let gain = |mean, sd| Gain { mean, sd: Some(sd) };
        assert_eq!(is_above(&gain(2.0, 1.0)), "reproduced");
        assert_eq!(is_above(&gain(0.5, 1.0)), "not reproduced: within the spread");
        assert_eq!(is_above(&gain(-2.0, 1.0)), "not reproduced: below");
        assert_eq!(
            (is_near(&gain(-0.5, 1.0)), is_near(&gain(-2.0, 1.0))),
            ("reproduced", "not reproduced: below")
        );
        assert_eq!(is_above(&Gain { mean: 2.0, sd: None }), "one seed says nothing");
    }

    /// Tables that were measured anew leave the page behind.
    #[test]
    fn the_page_says_what_the_tables_say() {
        let folder = workspace::root().join(FOLDER);
        let written = fs::read_to_string(folder.join("claims.md")).unwrap();
        assert_eq!(written, renewed(&folder).unwrap(), "run `{COMMAND}`");
    }
}
