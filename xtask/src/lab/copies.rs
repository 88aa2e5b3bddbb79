//! `cargo xtask copies`: two epochs of training on the synthetic copy of every published data set,
//! evaluated and written down as a table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::Value;

use crate::command::Subcommand;
use crate::lab::machine::Origin;
use crate::lab::page;
use crate::lab::program::{Profile, Program, built_as};
use crate::process;
use crate::setup::ensure;
use crate::workspace;

const PAGE: &str = "docs/results/two-epochs.md";
const HEAD: &str = "\
    Each row is a run of `polyptych train` on the copy that `polyptych data make` writes: two \
    epochs in batches of 4 at 32 x 32 pixels, a tiny backbone with random weights, LoRA, all tasks \
    of the manifest, then `polyptych eval` on the split that is measured.\n\
    So few steps teach nothing: the table shows that every layout is read, trained on and measured \
    from end to end, with labels of every task.\n\n\
    | copy | train | measured on | steps | loss of each task, first step to last | scores | s |\n\
    |---|---:|---|---:|---|---|---:|\n";
/// Images of a batch.
const BATCH: usize = 4;
const EPOCHS: usize = 2;

/// Train two epochs on the synthetic copy of every published data set, as a page
#[derive(Parser)]
#[command(name = "copies")]
pub(crate) struct Copies {
    /// Copies, all where none is named
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Use this program, rather than one that is built now
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<PathBuf>,
    /// The page
    #[arg(long, default_value = PAGE, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Subcommand for Copies {
    fn run(flags: &Self) -> Result<ExitCode> {
        let names = match flags.names.is_empty() {
            true => manifests()?,
            false => flags.names.clone(),
        };
        if flags.dry_run {
            println!("would train two epochs on each copy among {}", names.join(", "));
            return Ok(ExitCode::SUCCESS);
        }
        ensure::libtorch()?;
        let program = match &flags.program {
            Some(program) => std::path::absolute(program)?,
            None => built_as(Profile::Dev, "polyptych")?,
        };
        let (program, mut rows) = (Program(program), String::new());
        for name in &names {
            let Some(copy) = Copy::made(&program, name)? else { continue };
            let row = copy.row(&program)?;
            println!("{row}");
            rows += &format!("{row}\n");
        }
        let path = workspace::root().join(&flags.out);
        let block = format!("{HEAD}{rows}\n{}", page::origin_line(&Origin::read()));
        let block = page::generated("cargo xtask copies", &block);
        let old = std::fs::read_to_string(&path).ok();
        page::write(&path, &page::renew(old.as_deref(), "Two epochs on every copy", &block)?)?;
        println!("{}", path.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// Names of the manifests of the repository.
fn manifests() -> Result<Vec<String>> {
    let folder = workspace::root().join("datasets");
    let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let paths = entries.flatten().map(|entry| entry.path());
    let tomls = paths.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let mut names: Vec<String> =
        tomls.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// A copy that was made.
struct Copy {
    name: String,
    folder: tempfile::TempDir,
    /// Images and tasks of each split.
    splits: BTreeMap<String, (usize, Vec<String>)>,
}

impl Copy {
    /// Makes the copy; none where the data set has none.
    fn made(program: &Program, name: &str) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data").join(name);
        let mut command = program.command("data");
        command.args(["make", name]).arg(&data);
        let output = command.output().with_context(|| process::shown(&command))?;
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.success() {
            true => {}
            false if said.contains("synthetic copy: name: expected one of") => return Ok(None),
            false => bail!("`{}` failed: {said}", process::shown(&command)),
        }
        let splits = splits(&String::from_utf8_lossy(&output.stdout));
        Ok(Some(Self { name: name.to_owned(), folder, splits }))
    }

    /// Trains, measures, and says what came of it.
    fn row(&self, program: &Program) -> Result<String> {
        let train = self.split(&["train"])?;
        let eval = self.split(&["val", "test"])?;
        let (images, tasks) = &self.splits[&train];
        let steps = EPOCHS * images.div_ceil(BATCH);
        let recipe = self.folder.path().join("recipe.toml");
        std::fs::write(&recipe, self.recipe(&train, &eval, tasks, steps)?)?;
        let began = Instant::now();
        let run = self.folder.path().join("run");
        succeed(
            program.command("train").current_dir(&self.folder).arg(&recipe).arg("--out").arg(&run),
        )?;
        let measured =
            succeed(program.command("eval").current_dir(&self.folder).arg(&run).arg("--json"))?;
        let seconds = began.elapsed().as_secs_f64();
        let scores = scores(&serde_json::from_str(&measured)?);
        let losses = losses(&run.join("metrics.jsonl"), tasks)?;
        let Self { name, .. } = self;
        Ok(format!(
            "| [{name}](../../datasets/{name}.md) | {images} | {eval} | {steps} | {losses} | {scores} | {seconds:.0} |"
        ))
    }

    /// The first of these splits that the copy has.
    fn split(&self, names: &[&str]) -> Result<String> {
        let found = names.iter().find(|name| self.splits.contains_key(**name));
        let found = found.with_context(|| format!("{}: no split {names:?}", self.name))?;
        Ok((*found).to_owned())
    }

    fn recipe(&self, train: &str, eval: &str, tasks: &[String], steps: usize) -> Result<String> {
        let name = &self.name;
        let kinds = kinds(name)?;
        let data = format!("manifest = \"datasets/{name}.toml\"\nroot = \"data/{name}\"");
        let mut text = format!(
            "name = \"{name}\"\n{METHOD}\n[data]\nimg_size = [32, 32]\nprefetch = 1\n\
             cache_mib = 0\nbatch_size = {BATCH}\n\
             [[data.train]]\ndataset = \"folder\"\n{data}\nsplit = \"{train}\"\n\
             [[data.eval]]\ndataset = \"folder\"\n{data}\nsplit = \"{eval}\"\n\
             [train]\nsteps = {steps}\neval_every = {steps}\nsave_every = {steps}\n{TRAIN}"
        );
        for task in tasks {
            let whole = kinds.get(task).is_some_and(|kind| kind == "classification");
            let head = match whole {
                true => "{ name = \"linear\" }",
                false => "{ name = \"segformer\", embed_dim = 8, dropout = 0.0 }",
            };
            text += &format!("[tasks.{task}]\nweight = 1.0\nhead = {head}\n");
        }
        Ok(text)
    }
}

const METHOD: &str = r#"description = "two epochs on a synthetic copy"
seed = 0
device = "cpu"
precision = "fp32"
[backbone]
name = "swin_micro_patch4_window4_128"
weights = "none"
drop_path_rate = 0.0
[adapter]
method = "lora"
r = 2
target_modules = ["qkv"]"#;

const TRAIN: &str = r#"lr = 1e-3
weight_decay = 0.05
clip_grad_norm = 5.0
optimiser = { name = "adamw", betas = [0.9, 0.999], eps = 1e-8 }
schedule = { warmup_steps = 1, cooldown_steps = 0, start_factor = 0.1, min_factor = 0.1 }
"#;

/// Images and tasks of each split, as `polyptych data make` says them:
/// `train: 8 images; labels: depth 8, edge 8`.
fn splits(said: &str) -> BTreeMap<String, (usize, Vec<String>)> {
    let split = |line: &str| {
        let (name, rest) = line.split_once(": ")?;
        let (images, labels) = rest.split_once(" images; labels: ")?;
        let task = |label: &str| Some(label.rsplit_once(' ')?.0.to_owned());
        let tasks = labels.split(", ").filter_map(task).collect();
        Some((name.to_owned(), (images.parse().ok()?, tasks)))
    };
    said.lines().filter_map(split).collect()
}

/// Kinds of the tasks of a manifest.
fn kinds(name: &str) -> Result<BTreeMap<String, String>> {
    let path = workspace::root().join(format!("datasets/{name}.toml"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let manifest: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    let tasks = manifest.get("tasks").and_then(toml::Value::as_array);
    let kind = |task: &toml::Value| {
        let text = |key: &str| Some(task.get(key)?.as_str()?.to_owned());
        Some((text("name")?, text("kind")?))
    };
    Ok(tasks.into_iter().flatten().filter_map(kind).collect())
}

/// The headline score of every task.
fn scores(measured: &Value) -> String {
    let score = |task: &Value| {
        let first = &task["scores"][0];
        let value = first["value"].as_f64()?;
        Some(format!("{}: {} {value:.3}", task["task"].as_str()?, first["name"].as_str()?))
    };
    let tasks = measured["tasks"].as_array();
    tasks.into_iter().flatten().filter_map(score).collect::<Vec<_>>().join("; ")
}

/// The losses of every task in the first and in the last step that has one.
fn losses(log: &Path, tasks: &[String]) -> Result<String> {
    let text = std::fs::read_to_string(log).with_context(|| log.display().to_string())?;
    let lines: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |task: &String| -> Result<String> {
        let losses: Vec<f64> =
            lines.iter().filter_map(|line| line["losses"][task].as_f64()).collect();
        let (first, last) = losses
            .first()
            .zip(losses.last())
            .with_context(|| format!("{}: expected losses of {task}, found none", log.display()))?;
        Ok(format!("{task} {first:.3} to {last:.3}"))
    };
    Ok(tasks.iter().map(of).collect::<Result<Vec<_>>>()?.join("; "))
}

/// What a command that must succeed printed.
fn succeed(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| process::shown(command))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {said}", process::shown(command));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_and_tasks_are_what_the_program_says() {
        let found = splits(
            "train: 8 images; labels: depth 8, human_parts 6\nval: 4 images; labels: depth 4\n",
        );
        assert_eq!(found["train"], (8, vec!["depth".to_owned(), "human_parts".to_owned()]));
        assert_eq!(found["val"], (4, vec!["depth".to_owned()]));
    }

    #[test]
    fn every_task_has_a_head_of_its_kind() {
        let copy = |name: &str, task: &str| Copy {
            name: name.to_owned(),
            folder: tempfile::tempdir().unwrap(),
            splits: BTreeMap::from([("train".to_owned(), (8, vec![task.to_owned()]))]),
        };
        let recipe = |name: &str, task: &str| {
            copy(name, task).recipe("train", "val", &[task.to_owned()], 4).unwrap()
        };
        assert!(
            recipe("cub", "cub")
                .contains("[tasks.cub]\nweight = 1.0\nhead = { name = \"linear\" }")
        );
        assert!(recipe("nyud", "depth").contains("head = { name = \"segformer\""));
        assert!(copy("nyud", "depth").split(&["val", "test"]).is_err());
    }

    #[test]
    fn losses_are_those_of_the_first_and_the_last_step() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("metrics.jsonl");
        let line =
            |step: u32, loss: f64| format!("{{\"step\":{step},\"losses\":{{\"a\":{loss}}}}}\n");
        std::fs::write(&log, line(1, 2.0) + "{\"step\":1}\n" + &line(2, 1.5)).unwrap();
        assert_eq!(losses(&log, &["a".to_owned()]).unwrap(), "a 2.000 to 1.500");
        assert!(losses(&log, &["b".to_owned()]).unwrap_err().to_string().contains("losses of b"));
        let measured = serde_json::json!({"tasks": [{"task": "a", "scores": [{"name": "miou", "value": 0.25}]}]});
        assert_eq!(scores(&measured), "a: miou 0.250");
    }
}
