//! Which layers tasks took for themselves.

use std::fmt;

use serde::Serialize;

use crate::Model;

/// What part of every layer every task has for itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Taken {
    /// The columns: tasks, or `all tasks` where they share one choice.
    pub columns: Vec<String>,
    /// Layers in the order of the backbone, with one share for each column: 0 for the frozen layer,
    /// 1 for one that changed as a whole.
    pub layers: Vec<(String, Vec<f64>)>,
}

impl Taken {
    /// What the method of `model` chose; nothing where it chooses no layers.
    pub fn of(model: &Model) -> Option<Self> {
        let mut all = Self { columns: Vec::new(), layers: Vec::new() };
        for trunk in model.trunks() {
            let layers = trunk.plan.taken()?;
            let count = layers.first()?.1.len();
            let names = model.tasks[trunk.tasks.clone()].iter().map(|task| task.spec.name.clone());
            let names: Vec<String> = names.collect();
            match count == names.len() {
                true => all.columns.extend(names),
                false => all.columns.push("all tasks".into()),
            }
            match all.layers.is_empty() {
                true => all.layers = layers,
                false => join(&mut all.layers, layers),
            }
        }
        (!all.layers.is_empty()).then_some(all)
    }

    /// The mean share of every column.
    pub fn means(&self) -> Vec<f64> {
        let mean = |column: usize| {
            let sum: f64 = self.layers.iter().map(|(_, shares)| shares[column]).sum();
            sum / self.layers.len().max(1) as f64
        };
        (0..self.columns.len()).map(mean).collect()
    }
}

/// Copies of one backbone have the same layers in the same order.
fn join(all: &mut [(String, Vec<f64>)], more: Vec<(String, Vec<f64>)>) {
    all.iter_mut().zip(more).for_each(|((_, shares), (_, own))| shares.extend(own));
}

/// `#` for a layer that is the task's own, `.` for the frozen one, else a share in percent.
fn mark(share: f64) -> String {
    match share {
        0.0 => ".".into(),
        1.0 => "#".into(),
        share => format!("{:.1}%", 100.0 * share),
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.columns.iter().map(String::len).max().unwrap_or(0).max(6);
        let row = |f: &mut fmt::Formatter<'_>, name: &str, cells: &[String]| {
            write!(f, "{name:<34}")?;
            cells.iter().try_for_each(|cell| write!(f, " {cell:>width$}"))?;
            writeln!(f)
        };
        row(f, "layer", &self.columns)?;
        for (name, shares) in &self.layers {
            row(f, name, &shares.iter().map(|share| mark(*share)).collect::<Vec<_>>())?;
        }
        let means =
            self.means().iter().map(|mean| format!("{:.1}%", 100.0 * mean)).collect::<Vec<_>>();
        row(f, "mean", &means)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_drawn_by_their_share() {
        let taken = Taken {
            columns: vec!["depth".into(), "semseg".into()],
            layers: vec![("fc1".into(), vec![1.0, 0.0]), ("fc2".into(), vec![0.005, 1.0])],
        };
        let text = taken.to_string();
        let rows: Vec<Vec<&str>> =
            text.lines().map(|row| row.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["fc1", "#", "."]);
        assert_eq!(rows[2], ["fc2", "0.5%", "#"]);
        assert_eq!(rows[3], ["mean", "50.2%", "50.0%"]);
    }
}
