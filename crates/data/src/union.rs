//! Several data sets as one, each with labels for some of the tasks.

use std::sync::Arc;

use crate::{Dataset, DatasetRecord, Error, Origin, Result, Sample, TaskSpec};

/// The samples of several data sets, one set after the other.
///
/// Its tasks are all tasks of its parts by name, in the order in which they first come.
pub struct Union {
    name: String,
    parts: Vec<Arc<dyn Dataset>>,
    tasks: Vec<TaskSpec>,
}

impl Union {
    /// Joins data sets; the name is theirs, joined by `+`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if two parts give one name to tasks of different kind, classes or
    /// mirror pairs. Palettes may differ: the first counts.
    pub fn new(parts: Vec<Arc<dyn Dataset>>) -> Result<Self> {
        let mut tasks: Vec<(TaskSpec, &str)> = Vec::new();
        for part in &parts {
            for task in part.tasks() {
                match tasks.iter().find(|(other, _)| other.name == task.name) {
                    Some((other, owner)) => same(task, other, owner, part.name())?,
                    None => tasks.push((task.clone(), part.name())),
                }
            }
        }
        let tasks = tasks.into_iter().map(|(task, _)| task).collect();
        let name = parts.iter().map(|part| part.name()).collect::<Vec<_>>().join("+");
        Ok(Self { name, parts, tasks })
    }
}

impl Dataset for Union {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn parts(&self) -> Vec<usize> {
        self.parts.iter().map(|part| part.len()).collect()
    }

    fn shards(&self) -> Vec<usize> {
        self.parts.iter().flat_map(|part| part.shards()).collect()
    }

    fn records(&self) -> Vec<DatasetRecord> {
        self.parts.iter().flat_map(|part| part.records()).collect()
    }

    fn origin(&self, index: usize) -> Option<Origin<'_>> {
        let (part, index) = self.place(index);
        part.origin(index)
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let (part, index) = self.place(index);
        part.get(index)
    }
}

impl Union {
    /// The part that holds sample `index`, and its index there.
    fn place(&self, index: usize) -> (&dyn Dataset, usize) {
        let mut index = index;
        for part in &self.parts {
            match index.checked_sub(part.len()) {
                Some(rest) => index = rest,
                None => return (part.as_ref(), index),
            }
        }
        panic!("{}: index {} after the last sample", self.name, self.len() + index)
    }
}

fn same(task: &TaskSpec, other: &TaskSpec, first: &str, second: &str) -> Result<()> {
    let (field, found) = if task.kind != other.kind {
        ("kind", [other.kind.name(), task.kind.name()].map(str::to_owned))
    } else if task.classes != other.classes {
        ("classes", difference(&other.classes, &task.classes))
    } else if task.flip_pairs != other.flip_pairs {
        ("flip_pairs", [&other.flip_pairs, &task.flip_pairs].map(|pairs| format!("{pairs:?}")))
    } else {
        return Ok(());
    };
    let (first, second) = (first.to_owned(), second.to_owned());
    let found = Box::new(found);
    Err(Error::Conflict { task: task.name.clone(), first, second, field, found })
}

/// What two lists of classes have in the first place where they differ.
fn difference(first: &[String], second: &[String]) -> [String; 2] {
    let place = first.iter().zip(second).position(|(a, b)| a != b);
    let place = place.unwrap_or(first.len().min(second.len()));
    [first, second].map(|classes| match classes.get(place) {
        Some(class) => format!("`{class}` as class {place}"),
        None => format!("{} classes", classes.len()),
    })
}
