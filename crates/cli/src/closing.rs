//! What a finished training prints: the closing table, and what to do next.

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
    let others = others.iter().map(|(name, evaluation)| Column::of(name, evaluation));
    let main_column = Column::of(recipe.label(), main);
    let columns: Vec<Column> = recorded.into_iter().chain(others).chain([main_column]).collect();
    say!("{}", table::comparison(main, &columns));
    if recipe.train.eval_every < recipe.train.steps {
        say!("{}", table::peaks(main));
    }
    if recipe.stage.len() > 1 {
        match StageTable::of_run(path) {
            Ok(found) => say!("{}", stages(&found, baselines)),
            Err(e) => note!("{e}"),
        }
    }
    say!("run: {}", path.display());
    say!("report: polyptych report {} --open", path.display());
    say!("look: polyptych predict {} PHOTOGRAPH..", path.display());
    say!("merge: polyptych merge {}", path.display());
}
