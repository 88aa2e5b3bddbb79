//! The rows of a recipe's table, as recipes of their own.

use super::balancer;
use super::config::Recipe;
use super::row::CompareRecipe;
use crate::{Error, Result};

impl Recipe {
    /// The recipe of another row of the table, and the fields that it goes without: a row whose
    /// tasks share nothing that trains has no gradient aggregator and no other part that looks at
    /// what they share, and a row whose method cannot have copies for each task has none.
    ///
    /// # Errors
    /// A field that no recipe has, or a value that does not fit.
    pub fn compared(&self, row: &CompareRecipe) -> Result<(Self, Vec<&'static str>)> {
        let plain =
            Self { compare: Vec::new(), tune: None, label: Some(row.name.clone()), ..self.clone() };
        let (mut alone, mut left_out) = balancer::alone(plain.clone());
        let origin = format!("compare.{}", row.name);
        let parse = |recipe: &Self| Self::parse(&origin, &recipe.to_toml()?, &row.set);
        if alone.backbone.per_task {
            alone.backbone.per_task = false;
            let shared = parse(&alone)?;
            if shared.adapter.not_per_task().is_some() {
                left_out.push("backbone.per_task");
                return Ok((shared, left_out));
            }
            alone.backbone.per_task = true;
        }
        let alone = parse(&alone)?;
        match alone.adapter.trains_backbone() && !alone.backbone.per_task {
            true => Ok((parse(&plain)?, Vec::new())),
            false => Ok((alone, left_out)),
        }
    }
}

/// Checks the names of the rows of `recipe` before a run begins; runs that have such names stay open
/// to all that reads them.
///
/// # Errors
/// A name that no folder can have or `--rows` cannot name, or two rows with one folder.
pub(crate) fn check_names(recipe: &Recipe) -> Result<()> {
    let folder = |row: &CompareRecipe| row.folder().to_lowercase();
    for (index, row) in recipe.compare.iter().enumerate() {
        let name = &row.name;
        let wrong = |reason: String| {
            let key = format!("compare.{index}.name");
            Err(Error::Recipe { origin: recipe.name.clone(), key, reason })
        };
        let refused = |c: char| c.is_control() || [',', '/', '\\'].contains(&c);
        if name.trim().is_empty() || name.starts_with('.') || name.contains(refused) {
            return wrong(format!(
                "expected a name without commas and slashes that begins with no dot, found `{name}`"
            ));
        }
        if recipe.compare[..index].iter().any(|earlier| folder(earlier) == folder(row)) {
            return wrong(format!("expected every name once, found {name} twice"));
        }
    }
    Ok(())
}
