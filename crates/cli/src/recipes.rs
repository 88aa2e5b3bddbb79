//! Recipes in the program, and the way from flags to a recipe.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;
use polyptych_engine::{Baselines, Recipe, StagedRun, closest};

/// Names and texts of the recipes that ship with the program, the first one first to be tried.
pub(crate) const SHIPPED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

/// Names and texts of the baselines that ship with recipes.
const BASELINES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/baselines.rs"));

/// Which recipe, and how it differs from the file.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecipeFlags {
    /// A shipped recipe's name, or a TOML file
    #[arg(default_value = "quickstart")]
    pub(crate) recipe: String,
    /// Override a field: --set train.steps=100
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Train only these tasks of the recipe, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
}

/// Names of all shipped recipes.
pub(crate) fn names() -> Vec<&'static str> {
    SHIPPED.iter().map(|(name, _)| *name).collect()
}

/// The text of the shipped recipe `name`.
pub(crate) fn find(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| *text)
}

/// The recipe that the flags ask for.
pub(crate) fn resolve(flags: &RecipeFlags) -> Result<Recipe> {
    let mut recipe = match find(&flags.recipe) {
        Some(text) => Recipe::parse(&flags.recipe, text, &flags.overrides)?,
        None => from_file(&flags.recipe, &flags.overrides)?,
    };
    restrict(&mut recipe, &flags.tasks)?;
    // A label names the method that the file has.
    let sets = |key: &str| flags.overrides.iter().any(|text| text.trim().starts_with(key));
    let method = ["adapter", "union", "backbone.per_task"].into_iter().any(sets);
    if method && !sets("label") {
        recipe.label = None;
    }
    // `--set baselines=` switches recorded baselines off.
    recipe.baselines = recipe.baselines.take().filter(|file| !file.is_empty());
    Ok(recipe)
}

/// The recipe that the flags ask for, and its recorded baselines.
pub(crate) fn open(flags: &RecipeFlags) -> Result<(Recipe, Option<Baselines>)> {
    let recipe = resolve(flags)?;
    let baselines = match (&recipe.baselines, find(&flags.recipe)) {
        (None, _) => None,
        (Some(file), Some(_)) => Some(shipped_baselines(file)?),
        (Some(file), None) => {
            let folder = Path::new(&flags.recipe).parent().unwrap_or(Path::new("."));
            Some(Baselines::open(&folder.join(file))?)
        }
    };
    Ok((recipe, baselines))
}

fn from_file(path: &str, overrides: &[String]) -> Result<Recipe> {
    if Path::new(path).join("recipe.toml").exists() || StagedRun::is(Path::new(path)) {
        bail!("{path}: expected a recipe, found a run; continue it with --resume {path}");
    }
    if Path::new(path).is_dir() {
        bail!("{path}: expected a recipe, found a folder; to learn from it: --data {path}");
    }
    if !Path::new(path).exists() {
        let names = names();
        let meant = meant(path, &names);
        bail!("{path}: expected a TOML file or one of {}, found neither{meant}", names.join(", "));
    }
    Ok(Recipe::open(Path::new(path), overrides)?)
}

/// A question behind a message, where one of `names` is near.
pub(crate) fn meant(word: &str, names: &[&str]) -> String {
    let found = closest(word, names.iter().copied());
    found.map(|name| format!(": did you mean {name}?")).unwrap_or_default()
}

fn shipped_baselines(file: &str) -> Result<Baselines> {
    let name = file.strip_suffix(".baselines.json");
    let found = BASELINES.iter().find(|(shipped, _)| name == Some(*shipped));
    let (_, text) = found.with_context(|| format!("baselines: {file} is not shipped"))?;
    Ok(Baselines::parse(file, text)?)
}

fn restrict(recipe: &mut Recipe, tasks: &[String]) -> Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let known = recipe.task_names();
    if let Some(unknown) = tasks.iter().find(|task| !known.contains(task)) {
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        bail!(
            "--tasks: expected some of {}, found {unknown}{}",
            known.join(", "),
            meant(unknown, &names)
        );
    }
    *recipe = recipe.of_tasks(tasks)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use polyptych_engine::ParameterSummary;

    use super::*;

    fn flags(recipe: &str, overrides: &[&str], tasks: &[&str]) -> RecipeFlags {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        RecipeFlags { recipe: recipe.into(), overrides: owned(overrides), tasks: owned(tasks) }
    }

    #[test]
    fn every_shipped_recipe_is_whole() {
        assert_eq!(names()[0], "quickstart");
        for name in names() {
            let recipe = resolve(&flags(name, &[], &[])).unwrap();
            assert_eq!(recipe.name, name);
            recipe.baselines.iter().for_each(|file| drop(shipped_baselines(file).unwrap()));
            for row in &recipe.compare {
                let other = recipe.compared(row).unwrap_or_else(|e| panic!("{name}: {e}")).0;
                let alone = |task: String| drop(other.of_tasks(&[task]).unwrap());
                other.task_names().into_iter().filter(|_| row.separate).for_each(alone);
            }
        }
    }

    #[test]
    fn baselines_lie_beside_the_recipe() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let text = find("quickstart").unwrap();
        std::fs::write(&path, text.replace("quickstart.baselines.json", "b.json")).unwrap();
        let flags = |overrides: &[&str]| flags(&path.display().to_string(), overrides, &[]);
        let message = format!("{:#}", open(&flags(&[])).unwrap_err());
        assert!(message.starts_with(&folder.path().join("b.json").display().to_string()));
        assert!(open(&flags(&["baselines="])).unwrap().1.is_none());
        let json = r#"{"command": "", "seed": 0, "steps": 1, "made_with": "", "single_task": []}"#;
        std::fs::write(folder.path().join("b.json"), json).unwrap();
        assert_eq!(open(&flags(&[])).unwrap().1.unwrap().steps, 1);
    }

    #[test]
    fn a_label_names_the_method_of_the_file_alone() {
        let label =
            |overrides: &[&str]| resolve(&flags("quickstart", overrides, &[])).unwrap().label();
        assert_eq!(label(&["train.lr=1e-3"]), "MTLoRA");
        assert_eq!(label(&["adapter={method=\"full\"}"]), "full");
        let copies = ["adapter={method=\"full\"}", "backbone.per_task=true"];
        assert_eq!(label(&copies), "full per task");
        assert_eq!(label(&["adapter.r=8", "label=MTLoRA r=8"]), "MTLoRA r=8");
    }

    #[test]
    fn a_recipe_can_be_cut_to_some_tasks() {
        let recipe = resolve(&flags("quickstart", &[], &["depth", "sal"])).unwrap();
        assert_eq!(recipe.task_names(), ["depth", "sal"]);
        // What the method has for tasks that are not there would be refused.
        ParameterSummary::of_recipe(&recipe).unwrap();
        // So would be lists of tasks.
        let alone = resolve(&flags("fame-vil", &[], &["caption"])).unwrap();
        ParameterSummary::of_recipe(&alone).unwrap();
        let groups =
            "adapter={method=\"progressive\", groups=[[[\"depth\", \"sal\"], [\"edge\"]]]}";
        let grouped = resolve(&flags("vmt-scenes", &[groups], &["depth"])).unwrap();
        let adapter = serde_json::to_value(&grouped.adapter).unwrap();
        assert_eq!(adapter["groups"], serde_json::json!([[["depth"]]]));
        let wrong = resolve(&flags("quickstart", &["adapter.r_per_task.dept=2"], &["sal"]));
        let message = ParameterSummary::of_recipe(&wrong.unwrap()).unwrap_err().to_string();
        assert!(message.contains("r_per_task.dept"), "{message}");
        // A stage of tasks that are not there is not cut: what it prepares, others need.
        let staged = resolve(&flags("tamcl-quickstart", &[], &["aircraft", "birds"]));
        let message = staged.unwrap_err().to_string();
        let expected = "stage.2.tasks: expected some of aircraft, birds, found cars";
        assert!(message.ends_with(expected), "{message}");
    }
}
