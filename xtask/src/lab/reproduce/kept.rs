//! Rows of a table whose runs are elsewhere: what the data beside the page says of them stays, so
//! that a table grows over several machines.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::plan::Plan;
use super::summary::Summary;
use crate::lab::machine::Origin;

#[derive(Deserialize)]
struct Data {
    /// Of the recipe; the oldest tables do not have it.
    digest: Option<String>,
    made_with: Origin,
    rows: Vec<Value>,
}

/// Rows of the file `data` that `plan` still has as they were; none where there is no file.
///
/// Says which ones are left out.
///
/// # Errors
/// A file that is no table.
pub(crate) fn rows(data: &Path, plan: &Plan) -> Result<Vec<Summary>> {
    if !data.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read(data).with_context(|| data.display().to_string())?;
    let data: Data = serde_json::from_slice(&text).with_context(|| data.display().to_string())?;
    if data.digest.is_some_and(|digest| digest != plan.digest) {
        eprintln!("left out: rows of the table before, whose recipe was another one");
        return Ok(Vec::new());
    }
    let kept = data.rows.into_iter().filter_map(|row| match serde_json::from_value(row) {
        Ok(row) => Some(row),
        Err(error) => {
            eprintln!("left out: a row of the table before: {error}");
            None
        }
    });
    let kept = kept.filter(|row| stands(row, plan));
    Ok(kept.map(|row| Summary { made: row.made.or_from(&data.made_with), ..row }).collect())
}

/// Whether `plan` has the row with the same settings.
fn stands(kept: &Summary, plan: &Plan) -> bool {
    let row = plan.rows.iter().find(|row| row.name == kept.row.name);
    let same = row.is_some_and(|row| row.sets == kept.row.sets && row.chosen == kept.row.chosen);
    if !same {
        eprintln!("left out: {}, whose settings are others now", kept.row.name);
    }
    same
}
