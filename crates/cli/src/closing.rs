//! What a finished training prints: the closing table, and what to do next.

use std::collections::BTreeMap;
use std::path::Path;

use polyptych_engine::{Baselines, Evaluation, Recipe, StageTable};

use crate::output::{note, say};
use crate::stage_table::stages;
use crate::table::{self, Column};

/// Prints the table of `main` beside `others` and recorded baselines, and the next commands.
pub(crate) fn conclude(
    recipe: &Recipe,
    baselines: Option<&Baselines>,
    main: &Evaluation,
    others: &[(String, Evaluation)],
    path: &Path,
) {
    let recorded = baselines.map(|baselines| Column {
        title: "single task (recorded)".into(),
        values: baselines.single_task.iter().map(|b| (b.task.as_str(), b.value)).collect(),
        delta_m: Some(0.0),
    });
    let rows = others.iter().map(|(name, evaluation)| Column::of(name, evaluation));
    let main_column = Column::of(recipe.label(), main);
    let columns: Vec<Column> = recorded.into_iter().chain(rows).chain([main_column]).collect();
    say!("{}", table::comparison(main, &columns));
    if recipe.train.eval_every < recipe.train.steps {
        say!("{}", table::peaks(main));
    }
    if recipe.stage.len() > 1 {
        match StageTable::of_run(path) {
            Ok(found) => say!("{}", stages(&found, &alone(recipe, baselines, others))),
            Err(e) => note!("{e}"),
        }
    }
    say!("run: {}", path.display());
    say!("report: polyptych report {} --open", path.display());
    say!("look: polyptych predict {} PHOTOGRAPH..", path.display());
    say!("merge: polyptych merge {}", path.display());
}

/// The headlines of tasks that were trained alone: those of the first row of `others` that trained
/// them so, else what is recorded.
fn alone<'a>(
    recipe: &Recipe,
    baselines: Option<&'a Baselines>,
    others: &'a [(String, Evaluation)],
) -> BTreeMap<&'a str, f64> {
    let separate = |name: &str| recipe.compare.iter().any(|row| row.separate && row.name == name);
    match others.iter().find(|(name, _)| separate(name)) {
        Some((_, found)) => found.headlines().iter().map(|(task, s)| (*task, s.value)).collect(),
        None => {
            let recorded = baselines.into_iter().flat_map(|baselines| &baselines.single_task);
            recorded.map(|baseline| (baseline.task.as_str(), baseline.value)).collect()
        }
    }
}
