//! Data sets made of data sets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, Array3};

use crate::{Cached, Dataset, Label, Result, Sample, Subset, TaskKind, TaskSpec, Union};

/// Samples with one depth map of 4 x 4 pixels: 48 + 64 bytes each.
struct Plain {
    name: &'static str,
    len: usize,
    tasks: Vec<TaskSpec>,
    reads: AtomicUsize,
}

fn plain(name: &'static str, len: usize, tasks: &[(&str, TaskKind, usize)]) -> Arc<Plain> {
    let task = |&(name, kind, classes): &(&str, TaskKind, usize)| TaskSpec {
        name: name.to_owned(),
        kind,
        classes: (0..classes).map(|k| k.to_string()).collect(),
        palette: Vec::new(),
        flip_pairs: Vec::new(),
    };
    let tasks = tasks.iter().map(task).collect();
    Arc::new(Plain { name, len, tasks, reads: AtomicUsize::new(0) })
}

impl Dataset for Plain {
    fn name(&self) -> &str {
        self.name
    }

    fn len(&self) -> usize {
        self.len
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn get(&self, index: usize) -> Result<Sample> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let labels = BTreeMap::from([("depth".to_owned(), Label::Depth(Array2::ones((4, 4))))]);
        let name = format!("{}{index}", self.name);
        Ok(Sample { name, image: Array3::zeros((4, 4, 3)), labels })
    }
}

#[test]
fn a_union_joins_samples_and_tasks() {
    let first = plain("a", 2, &[("depth", TaskKind::Depth, 0), ("s", TaskKind::Semseg, 3)]);
    let second = plain("b", 3, &[("s", TaskKind::Semseg, 3), ("edge", TaskKind::Edge, 0)]);
    let union = Union::new(vec![first, second]).unwrap();
    assert_eq!((union.name(), union.len()), ("a+b", 5));
    let tasks: Vec<&str> = union.tasks().iter().map(|task| task.name.as_str()).collect();
    assert_eq!(tasks, ["depth", "s", "edge"]);
    let names: Vec<String> = (0..5).map(|k| union.get(k).unwrap().name).collect();
    assert_eq!(names, ["a0", "a1", "b0", "b1", "b2"]);
}

#[test]
fn tasks_that_differ_are_refused() {
    let message = |kind, classes| {
        let first = plain("a", 1, &[("s", TaskKind::Semseg, 3)]);
        let second = plain("b", 1, &[("s", kind, classes)]);
        Union::new(vec![first, second]).err().unwrap().to_string()
    };
    assert_eq!(
        message(TaskKind::Semseg, 4),
        "task s: a and b differ in classes: a has 3 classes, b has `3` as class 3"
    );
    assert_eq!(
        message(TaskKind::HumanParts, 3),
        "task s: a and b differ in kind: a has semseg, b has human_parts"
    );
}

#[test]
fn a_subset_keeps_its_order_and_its_bounds() {
    let dataset = plain("a", 4, &[]);
    let subset = Subset::new(dataset.clone(), vec![3, 0, 3]).unwrap();
    let names: Vec<String> = (0..subset.len()).map(|k| subset.get(k).unwrap().name).collect();
    assert_eq!(names, ["a3", "a0", "a3"]);
    assert_eq!(Subset::evenly(dataset.clone(), 9).len(), 4);
    assert_eq!(Subset::evenly(dataset.clone(), 2).get(1).unwrap().name, "a2");
    let error = Subset::new(dataset, vec![0, 4]).err().unwrap();
    assert_eq!(error.to_string(), "a: indices: expected indices below 4, found 4");
}

#[test]
fn a_cache_reads_once_what_fits() {
    let dataset = plain("a", 4, &[]);
    let cached = Cached::new(dataset.clone(), 2 * 112 + 50);
    for pass in 1..4 {
        for index in 0..4 {
            assert_eq!(cached.get(index).unwrap(), dataset.get(index).unwrap());
        }
        // Half of the four fit; `dataset.get` above counts as well.
        assert_eq!(dataset.reads.load(Ordering::SeqCst), 4 * pass + 2 * pass + 2);
    }
}
