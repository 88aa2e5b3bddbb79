//! `polyptych eval`: scores of a run or a merged model, or of several side by side.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use polyptych_engine::{DataSets, Evaluation, Recipe, evaluate};
use serde_json::{Map, Value};

use crate::command::Subcommand;
use crate::open::OpenFlags;
use crate::output::{note, say};
use crate::progress::Counter;
use crate::table::{self, Column};

/// Measure a run or a merged model, or compare several
#[derive(Debug, Parser)]
#[command(
    name = "eval",
    after_help = "Examples:\n  polyptych eval runs/quickstart\n  polyptych eval runs/low runs/high\n  polyptych eval runs/quickstart --best --json\n  polyptych eval merged --manifest camvid.toml --root DIR --split test"
)]
pub(crate) struct Eval {
    /// Folders of runs or of merged models; several are compared
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    #[command(flatten)]
    open: OpenFlags,
    /// Print JSON instead of tables: one object, or one for each run by its folder
    #[arg(long)]
    json: bool,
    /// File for the JSON of one run, with all confusion matrices [default: RUN/eval.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Override a field of the recipe for this evaluation: --set data.batch_size=1
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Manifest of the data instead of the recipe's
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Folder of the data instead of the recipe's
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Split of the data instead of the recipe's
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
}

impl Subcommand for Eval {
    fn run(flags: &Self) -> Result<ExitCode> {
        if let (Some(out), true) = (&flags.out, flags.runs.len() > 1) {
            bail!("--out: expected one run, found {}: {}", flags.runs.len(), out.display());
        }
        let measured = flags
            .runs
            .iter()
            .map(|path| Ok((path.as_path(), measure(path, flags)?)))
            .collect::<Result<Vec<_>>>()?;
        match &measured[..] {
            [(_, only)] => show(only, flags.json)?,
            several => compare(several, flags.json)?,
        }
        for (path, evaluation) in &measured {
            keep(path, evaluation, flags.out.as_ref())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn measure(path: &Path, flags: &Eval) -> Result<Evaluation> {
    let run = flags.open.open(path)?;
    let recipe = overridden(&run.recipe, path, &flags.overrides)?.measured_on(
        flags.manifest.as_deref(),
        flags.root.as_deref(),
        flags.split.as_deref(),
    )?;
    let loader = DataSets::open_eval(&recipe)?;
    let baselines = run.baselines.as_ref().and_then(|b| b.of(&run.recipe.task_names()));
    let counter = Counter::new("evaluation", loader.num_batches());
    let evaluation = evaluate(&run.model, &loader, baselines.as_deref(), |done| counter.set(done))?;
    counter.finish();
    Ok(evaluation)
}

/// The recipe with other data; the model is that of the run, whatever the flags say.
fn overridden(recipe: &Recipe, path: &Path, overrides: &[String]) -> Result<Recipe> {
    if let Some(other) = overrides.iter().find(|text| !text.starts_with("data.")) {
        bail!("--set {other}: expected a field of data: the model of a run is what was trained");
    }
    let origin = path.join("recipe.toml").display().to_string();
    Ok(Recipe::parse(&origin, &recipe.to_toml()?, overrides)?)
}

fn show(evaluation: &Evaluation, json: bool) -> Result<()> {
    if json {
        say!("{}", serde_json::to_string_pretty(&evaluation.with_details())?);
        return Ok(());
    }
    say!("{}", table::scores(evaluation));
    table::classes(evaluation).iter().for_each(|classes| say!("\n{classes}"));
    table::confusions(evaluation).iter().for_each(|confusion| say!("\n{confusion}"));
    Ok(())
}

fn compare(measured: &[(&Path, Evaluation)], json: bool) -> Result<()> {
    if json {
        let named = measured.iter().map(|(path, e)| (path.display().to_string(), e.with_details()));
        let all: Map<String, Value> = named.collect();
        say!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    let columns: Vec<Column> = measured
        .iter()
        .map(|(path, evaluation)| Column::of(path.display().to_string(), evaluation))
        .collect();
    say!("{}", table::comparison(&all_tasks(measured), &columns));
    Ok(())
}

/// Every task that any of the runs has, with the scores of the first that has it.
fn all_tasks(measured: &[(&Path, Evaluation)]) -> Evaluation {
    let mut all = Evaluation { tasks: Vec::new(), delta_m: None };
    for task in measured.iter().flat_map(|(_, evaluation)| &evaluation.tasks) {
        if all.tasks.iter().all(|known| known.task != task.task) {
            all.tasks.push(task.clone());
        }
    }
    all
}

/// Keeps the JSON. A folder that nobody may write to is no reason to lose what was printed.
fn keep(path: &Path, evaluation: &Evaluation, out: Option<&PathBuf>) -> Result<()> {
    let json = serde_json::to_string_pretty(&evaluation.with_details())? + "\n";
    let place = out.cloned().unwrap_or_else(|| path.join("eval.json"));
    match std::fs::write(&place, json) {
        Err(e) if out.is_none() => {
            note!("{}: not kept: {e}", place.display());
            Ok(())
        }
        written => written.with_context(|| place.display().to_string()),
    }
}
