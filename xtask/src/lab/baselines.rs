//! `cargo xtask baselines`: the single-task results that delta-m compares with.
//!
//! One full fine-tuning per task of a recipe, at the recipe's own budget, written to the file that
//! the recipe names. Nothing in that file is typed in by hand.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::{Map, Value, json};

use super::{machine, recipe};
use crate::command::Subcommand;
use crate::lab::program::{self, Program};
use crate::process;

/// Train every task of a recipe alone, and record what delta-m compares with
#[derive(Parser)]
#[command(name = "baselines")]
pub(crate) struct Baselines {
    /// Name of a shipped recipe, or a TOML file; it must say where its baselines lie
    #[arg(default_value = "quickstart")]
    pub(crate) recipe: String,
    /// Use this program, rather than one that is built now
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<PathBuf>,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Subcommand for Baselines {
    fn run(flags: &Self) -> Result<ExitCode> {
        let tasks = tasks_of(&flags.recipe)?;
        let out = out_of(flags)?;
        let runs = Path::new("runs").join("baselines");
        if flags.dry_run {
            let program = Program::undecided();
            let commands = tasks.iter().map(|task| single_task(&program, flags, task, &runs));
            commands.for_each(|command| println!("would run `{}`", process::shown(&command)));
            println!("would write {}", out.display());
            return Ok(ExitCode::SUCCESS);
        }
        let job = folder(&runs, flags, "");
        let _lock = program::lock(&job)?;
        let program = Program::given_or_built(flags.program.as_deref(), &job)?;
        for task in &tasks {
            // A task that is done stays done: the job goes on where it was interrupted.
            if !folder(&runs, flags, task).join("evaluation.json").exists() {
                process::step(&mut single_task(&program, flags, task, &runs))?;
            }
        }
        let results = tasks.iter().map(|task| headline(task, &folder(&runs, flags, task)));
        let results = results.collect::<Result<Vec<_>>>()?;
        let text = format!("{:#}\n", file(flags, &folder(&runs, flags, &tasks[0]), results)?);
        std::fs::write(&out, text).with_context(|| out.display().to_string())?;
        println!("{}", out.display());
        Ok(ExitCode::SUCCESS)
    }
}

fn tasks_of(recipe: &str) -> Result<Vec<String>> {
    let table = recipe::read(recipe)?;
    let tasks = table.get("tasks").and_then(toml::Value::as_table);
    let names: Vec<String> = tasks.into_iter().flat_map(|tasks| tasks.keys().cloned()).collect();
    if names.is_empty() {
        bail!("{recipe}: tasks: expected at least one task, found none");
    }
    Ok(names)
}

fn out_of(flags: &Baselines) -> Result<PathBuf> {
    let table = recipe::read(&flags.recipe)?;
    let name = table.get("baselines").and_then(toml::Value::as_str);
    let name =
        name.with_context(|| format!("{}: baselines: expected a file name", flags.recipe))?;
    Ok(recipe::file(&flags.recipe).with_file_name(name))
}

fn folder(runs: &Path, flags: &Baselines, task: &str) -> PathBuf {
    let path = recipe::file(&flags.recipe);
    runs.join(path.file_stem().unwrap_or_default()).join(task)
}

fn single_task(program: &Program, flags: &Baselines, task: &str, runs: &Path) -> Command {
    let mut command = program.command("train");
    command.args([&flags.recipe, "--tasks", task]);
    command.args(["--set", r#"adapter={method="full"}"#, "--set", "compare=[]"]);
    // There is nothing to balance, and what a balancer makes of one loss learns worse.
    command.args(["--set", "balancer={}"]);
    command.args(["--set", "baselines=", "--out"]).arg(folder(runs, flags, task));
    command
}

fn headline(task: &str, folder: &Path) -> Result<Value> {
    let path = folder.join("evaluation.json");
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let evaluation: Value = serde_json::from_slice(&text)?;
    let score = &evaluation["tasks"][0]["scores"][0];
    let (metric, value) = (&score["name"], &score["value"]);
    if !value.is_number() {
        bail!("{}: {task}: expected a score, found none", path.display());
    }
    let higher = &score["higher_is_better"];
    Ok(json!({"task": task, "metric": metric, "value": value, "higher_is_better": higher}))
}

fn file(flags: &Baselines, run: &Path, results: Vec<Value>) -> Result<Value> {
    let recipe = std::fs::read_to_string(run.join("recipe.toml"))?.parse::<toml::Table>()?;
    let number = |key: &[&str]| {
        let table = key[..key.len() - 1].iter().try_fold(&recipe, |t, k| t.get(*k)?.as_table());
        table.and_then(|t| t.get(key[key.len() - 1])?.as_integer()).unwrap_or_default()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut fields = Map::new();
    fields.insert("command".into(), json!(format!("cargo xtask baselines {}", flags.recipe)));
    fields.insert("seed".into(), json!(number(&["seed"])));
    fields.insert("steps".into(), json!(number(&["train", "steps"])));
    let machine = format!("LibTorch 2.11.0, {} with {threads} cores", machine::processor());
    fields.insert("made_with".into(), json!(machine));
    fields.insert("single_task".into(), Value::Array(results));
    Ok(Value::Object(fields))
}
