//! Which methods does a recipe compare, and which runs does that take?

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::tune::settings::{Also, Settings};

/// Keys of a recipe that name and compare, and change nothing in a run.
const NOT_TRAINED: [&str; 5] = ["band", "compare", "description", "label", "tune"];

/// A recipe as a list of methods.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Name of the recipe's file.
    pub(crate) name: String,
    /// What the recipe says about itself.
    pub(crate) description: String,
    /// The recipe as `polyptych` is given it.
    pub(crate) recipe: PathBuf,
    /// SHA-256 of all that the runs share.
    pub(crate) digest: String,
    /// Tasks in the recipe's order.
    pub(crate) tasks: Vec<String>,
    /// Whether the recipe names recorded baselines.
    pub(crate) baselines: bool,
    /// The recipe's own method, then those it compares with.
    pub(crate) rows: Vec<Row>,
    /// How settings of rows are chosen.
    pub(crate) tune: Option<Settings>,
    /// Where all runs lie.
    pub(crate) folder: PathBuf,
}

/// Expected range of a field of a row's results: lowest and highest mean.
pub(crate) type Band = BTreeMap<String, [f64; 2]>;

/// A method: one row of the table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Its title.
    pub(crate) name: String,
    /// Its title as a folder.
    #[serde(skip)]
    pub(crate) slug: String,
    /// How it differs from the recipe.
    #[serde(rename = "set")]
    pub(crate) sets: Vec<String>,
    /// Whether every task has a model of its own.
    pub(crate) separate: bool,
    /// Whether other methods are compared with it: full fine-tuning of one model per task.
    pub(crate) reference: bool,
    /// What is expected of it.
    #[serde(skip)]
    pub(crate) band: Band,
    /// What is chosen for it besides the learning rate.
    #[serde(skip)]
    pub(crate) tune: Also,
    /// What was chosen for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) chosen: Vec<Chosen>,
}

/// Settings that a row, or one task of it, trains with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Chosen {
    /// The task, where every task has a model of its own.
    pub(crate) task: Option<String>,
    /// The settings.
    #[serde(rename = "set")]
    pub(crate) sets: Vec<String>,
}

/// One call of `polyptych train`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    /// Index of its row.
    pub(crate) row: usize,
    /// Its seed.
    pub(crate) seed: u64,
    /// Its task, where every task has a model of its own.
    pub(crate) task: Option<String>,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// What `polyptych train` is given besides the recipe.
    pub(crate) arguments: Vec<String>,
}

// `polyptych` refuses keys that it does not know, and knows more of them.
#[derive(Deserialize)]
struct Compare {
    name: String,
    #[serde(default)]
    set: Vec<String>,
    #[serde(default)]
    separate: bool,
    #[serde(default)]
    band: Band,
    #[serde(default)]
    tune: Also,
}

impl Plan {
    /// Reads the recipe `file`; runs go below `runs`.
    pub(crate) fn open(file: &Path, runs: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let plan = Self::parse(&name, &text, runs).with_context(|| file.display().to_string())?;
        Ok(Self { recipe: file.into(), ..plan })
    }

    fn parse(name: &str, text: &str, runs: &Path) -> Result<Self> {
        let table: Table = text.parse()?;
        let text_of = |key: &str| table.get(key).and_then(Value::as_str).unwrap_or_default();
        let plan = Self {
            name: name.into(),
            description: text_of("description").into(),
            recipe: name.into(),
            digest: digest(&table)?,
            tasks: tasks(&table)?,
            baselines: !text_of("baselines").is_empty(),
            rows: rows(&table)?,
            tune: Settings::of(&table)?,
            folder: runs.join(name),
        };
        distinct(&plan.rows)?;
        Ok(plan)
    }

    /// The comparison of rows that train with what was chosen for them: titles and settings.
    ///
    /// # Errors
    /// One of the rows called `names`, all if there are none, without settings.
    pub(crate) fn tuned(mut self, names: &[String], chosen: Vec<(String, Chosen)>) -> Result<Self> {
        for (name, chosen) in chosen {
            let row = self.rows.iter_mut().find(|row| row.name == name);
            row.into_iter().for_each(|row| row.chosen.push(chosen.clone()));
        }
        for row in self.chosen(names)?.into_iter().map(|index| &self.rows[index]) {
            let models = if row.separate { self.tasks.len() } else { 1 };
            if row.chosen.len() != models {
                bail!("{}: expected settings that --tune chose, found none", row.name);
            }
        }
        self.name.push_str("-tuned");
        self.folder.set_file_name(&self.name);
        Ok(self)
    }

    /// Indices of the rows called `names`, all if there are none.
    pub(crate) fn chosen(&self, names: &[String]) -> Result<Vec<usize>> {
        if names.is_empty() {
            return Ok((0..self.rows.len()).collect());
        }
        let known = || self.rows.iter().map(|r| r.name.as_str()).collect::<Vec<_>>().join(", ");
        let find = |name: &String| {
            let found = self.rows.iter().position(|r| r.name == *name || r.slug == *name);
            found.with_context(|| format!("--rows: expected some of {}, found {name}", known()))
        };
        names.iter().map(find).collect()
    }

    /// The runs of row `index` with `seed`: one, or one for each task.
    pub(crate) fn runs(&self, index: usize, seed: u64) -> Vec<Run> {
        let row = &self.rows[index];
        let folder = self.folder.join(&row.slug).join(format!("seed-{seed}"));
        let run = |task: Option<&String>| Run {
            row: index,
            seed,
            task: task.cloned(),
            folder: task.map_or_else(|| folder.clone(), |task| folder.join(task)),
            arguments: arguments(row, seed, task, row.chosen_for(task)),
        };
        match row.separate {
            true => self.tasks.iter().map(|task| run(Some(task))).collect(),
            false => vec![run(None)],
        }
    }
}

impl Row {
    fn chosen_for(&self, task: Option<&String>) -> &[String] {
        let chosen = self.chosen.iter().find(|chosen| chosen.task.as_ref() == task);
        chosen.map_or(&[], |chosen| &chosen.sets)
    }
}

/// `LoRA r=16` as `lora-r-16`, `Compacter++` as `compacter-plus-plus`.
pub(crate) fn slug(name: &str) -> String {
    let lower = name.to_lowercase().replace('+', " plus ");
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// What `polyptych train` is given for `row`, with `more` settings.
pub(crate) fn arguments(
    row: &Row,
    seed: u64,
    task: Option<&String>,
    more: &[String],
) -> Vec<String> {
    let seed = format!("seed={seed}");
    // The methods that a recipe compares with are runs of their own here.
    let mut sets = vec![seed.as_str(), "compare=[]"];
    // Recorded baselines cover all tasks, a separate model has one.
    sets.extend(row.separate.then_some("baselines="));
    sets.extend(row.sets.iter().chain(more).map(String::as_str));
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let tasks = task.iter().flat_map(|task| ["--tasks", task]);
    sets.chain(tasks).map(str::to_owned).collect()
}

fn digest(table: &Table) -> Result<String> {
    let mut table = table.clone();
    table.retain(|key, _| !NOT_TRAINED.contains(&key));
    Ok(format!("{:x}", Sha256::digest(toml::to_string(&table)?)))
}

fn tasks(table: &Table) -> Result<Vec<String>> {
    let tasks = table.get("tasks").and_then(Value::as_table).into_iter();
    let names: Vec<String> = tasks.flat_map(|tasks| tasks.keys().cloned()).collect();
    if names.is_empty() {
        bail!("tasks: expected at least one task, found none");
    }
    Ok(names)
}

fn rows(table: &Table) -> Result<Vec<Row>> {
    let own = Compare {
        name: own_name(table)?,
        set: Vec::new(),
        separate: false,
        band: get(table, "band")?,
        tune: Settings::of(table)?.map(|settings| settings.own).unwrap_or_default(),
    };
    let others: Vec<Compare> = get(table, "compare")?;
    Ok(std::iter::once(own).chain(others).map(|compare| row(compare, table)).collect())
}

fn get<T: serde::de::DeserializeOwned + Default>(table: &Table, key: &str) -> Result<T> {
    let value = table.get(key).cloned();
    Ok(value.map(Value::try_into).transpose().with_context(|| key.to_owned())?.unwrap_or_default())
}

fn own_name(table: &Table) -> Result<String> {
    let method = || table.get("adapter")?.get("method");
    let name = table.get("label").or_else(method).and_then(Value::as_str);
    Ok(name.context("label: expected a name, or one in adapter.method, found none")?.to_owned())
}

fn row(compare: Compare, table: &Table) -> Row {
    let reference = compare.separate && method(&compare.set, table).as_deref() == Some("full");
    Row {
        slug: slug(&compare.name),
        name: compare.name,
        sets: compare.set,
        separate: compare.separate,
        reference,
        band: compare.band,
        tune: compare.tune,
        chosen: Vec::new(),
    }
}

/// Name of the method that is trained under `sets`; the last word counts.
fn method(sets: &[String], table: &Table) -> Option<String> {
    let own = || table.get("adapter")?.get("method")?.as_str().map(str::to_owned);
    sets.iter().rev().find_map(|set| method_in(set)).or_else(own)
}

fn method_in(set: &str) -> Option<String> {
    let (key, value) = set.split_once('=')?;
    let parsed = format!("value = {value}").parse::<Table>().ok();
    match (key.trim(), parsed.as_ref().and_then(|table| table.get("value"))) {
        ("adapter", Some(value)) => value.get("method")?.as_str().map(str::to_owned),
        ("adapter.method", Some(value)) => value.as_str().map(str::to_owned),
        ("adapter.method", None) => Some(value.trim().to_owned()),
        _ => None,
    }
}

fn distinct(rows: &[Row]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for row in rows {
        if row.slug.is_empty() || !seen.insert(&row.slug) {
            bail!("compare: expected names that differ in letters or digits, found {}", row.name);
        }
        if row.name.contains(',') {
            bail!("compare: expected names without commas, as --rows has, found {}", row.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
label = "EMTAL r=4"
[adapter]
method = "emtal"
[tasks.cars]
[tasks.birds]
[[compare]]
name = "separate full"
set = ["adapter={ method = \"full\" }"]
separate = true
[[compare]]
name = "LoRA r=16"
set = ["adapter.method=lora"]
band = { top1 = [60.0, 70.0] }
"#;

    fn plan(text: &str) -> Result<Plan> {
        Plan::parse("toy", text, Path::new("runs"))
    }

    #[test]
    fn every_shipped_recipe_is_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cli/recipes");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let recipes = files.filter(|file| file.extension().is_some_and(|e| e == "toml"));
        let plans: Vec<Plan> =
            recipes.map(|file| Plan::open(&file, Path::new("runs")).unwrap()).collect();
        assert!(plans.iter().any(|plan| plan.rows.len() > 40), "vmt-scenes is among them");
    }

    #[test]
    fn rows_stand_in_the_order_of_the_recipe() {
        let plan = plan(TEXT).unwrap();
        let slugs: Vec<&str> = plan.rows.iter().map(|row| row.slug.as_str()).collect();
        assert_eq!(slugs, ["emtal-r-4", "separate-full", "lora-r-16"]);
        assert_eq!(plan.rows.iter().map(|r| r.reference).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(plan.rows[2].band["top1"], [60.0, 70.0]);
        assert_eq!(plan.chosen(&["LoRA r=16".into(), "emtal-r-4".into()]).unwrap(), [2, 0]);
        let message = plan.chosen(&["x".into()]).unwrap_err().to_string();
        assert_eq!(
            message,
            "--rows: expected some of EMTAL r=4, separate full, LoRA r=16, found x"
        );
    }

    #[test]
    fn a_run_says_how_it_differs() {
        let plan = plan(TEXT).unwrap();
        let run = &plan.runs(2, 7)[0];
        assert_eq!(run.folder, Path::new("runs/toy/lora-r-16/seed-7"));
        let set = "--set";
        assert_eq!(run.arguments, [set, "seed=7", set, "compare=[]", set, "adapter.method=lora"]);
        let separate = plan.runs(1, 0);
        let folders: Vec<&Path> = separate.iter().map(|run| run.folder.as_path()).collect();
        let below = Path::new("runs/toy/separate-full/seed-0");
        assert_eq!(folders, plan.tasks.iter().map(|t| below.join(t)).collect::<Vec<_>>());
        assert!(separate[0].arguments.contains(&"baselines=".to_owned()));
        assert_eq!(separate[1].arguments[8..], ["--tasks".to_owned(), plan.tasks[1].clone()]);
    }

    #[test]
    fn the_digest_is_of_what_is_trained() {
        let digest = |text: &str| plan(text).unwrap().digest;
        assert_eq!(digest(TEXT), digest(&TEXT.replace("EMTAL r=4", "EMTAL").replace("60.0", "5")));
        assert_ne!(digest(TEXT), digest(&TEXT.replace("\"emtal\"", "\"lora\"")));
    }

    #[test]
    fn rows_that_share_a_folder_or_have_no_name_are_refused() {
        let message = plan(&TEXT.replace("LoRA r=16", "EMTAL r 4")).unwrap_err().to_string();
        assert!(message.ends_with("found EMTAL r 4"), "{message}");
        let message = plan(&TEXT.replace("LoRA r=16", "LoRA, 16")).unwrap_err().to_string();
        assert!(message.ends_with("found LoRA, 16"), "{message}");
        let unnamed = TEXT.replace("name = \"LoRA r=16\"", "closing = true");
        let message = format!("{:#}", plan(&unnamed).unwrap_err());
        assert!(message.contains("compare") && message.contains("`name`"), "{message}");
    }
}
