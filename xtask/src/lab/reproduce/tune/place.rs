//! What is tuned: a row, or one task of a row whose tasks have models of their own.

use crate::lab::reproduce::plan::{Plan, Row};

/// One choice to be made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// Index of the row.
    pub(super) row: usize,
    /// The task, where every task has a model of its own.
    pub(super) task: Option<String>,
}

impl Place {
    /// All choices of the rows with these indices.
    pub(super) fn all(plan: &Plan, rows: &[usize]) -> Vec<Self> {
        let of = |&row: &usize| match plan.rows[row].separate {
            true => plan.tasks.iter().cloned().map(|t| Self { row, task: Some(t) }).collect(),
            false => vec![Self { row, task: None }],
        };
        rows.iter().flat_map(of).collect()
    }

    /// Its row.
    pub(super) fn row<'a>(&self, plan: &'a Plan) -> &'a Row {
        &plan.rows[self.row]
    }
}
