//! Which classes of a union label space belong to which task.

use std::ops::Range;

use polyptych_tensor::{Device, Tensor};

use crate::{Error, Result};

/// Disjoint ranges of classes that cover `0..num_classes`, one per task, in the order of tasks.
///
/// A label says by itself which task it is of, so batches may mix tasks freely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassRanges(Vec<(String, Range<usize>)>);

impl ClassRanges {
    /// Lays the classes of each `(task, number of classes)` behind those of the task before.
    ///
    /// # Errors
    /// No task, a task without classes, or a name that comes twice.
    pub fn new<'a>(counts: impl IntoIterator<Item = (&'a str, usize)>) -> Result<Self> {
        let mut start = 0usize;
        Self::from_ranges(counts.into_iter().map(|(task, count)| {
            let range = start..start.saturating_add(count);
            start = range.end;
            (task, range)
        }))
    }

    /// Takes the ranges themselves, which must follow each other from class 0.
    ///
    /// # Errors
    /// As [`ClassRanges::new`]; also ranges that overlap or leave classes out.
    pub fn from_ranges<'a>(
        ranges: impl IntoIterator<Item = (&'a str, Range<usize>)>,
    ) -> Result<Self> {
        let mut checked = Self(Vec::new());
        for (task, range) in ranges {
            checked.check_next(task, &range)?;
            checked.0.push((task.to_owned(), range));
        }
        if checked.0.is_empty() {
            let (expected, found) = ("at least one task", "none".into());
            return Err(Error::Config { key: "classes".into(), expected, found });
        }
        Ok(checked)
    }

    /// Number of classes of all tasks together.
    pub fn num_classes(&self) -> usize {
        self.0.last().map_or(0, |(_, range)| range.end)
    }

    /// Number of tasks.
    pub fn num_tasks(&self) -> usize {
        self.0.len()
    }

    /// Tasks in order, each with its classes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.0.iter().map(|(task, range)| (task.as_str(), range.clone()))
    }

    /// The index of the task that `class` belongs to.
    pub fn task_of(&self, class: usize) -> Option<usize> {
        let task = self.0.partition_point(|(_, range)| range.end <= class);
        (task < self.num_tasks()).then_some(task)
    }

    /// The task of every class: `[num_classes]`, int64, on `device`.
    pub fn lookup(&self, device: Device) -> Tensor {
        let tasks = self.0.iter().enumerate();
        let each = tasks.flat_map(|(task, (_, range))| range.clone().map(move |_| task as i64));
        Tensor::from_slice(&each.collect::<Vec<i64>>()).to_device(device)
    }

    /// Checks that every element of `classes`, int64, is a class.
    ///
    /// It reads the result, so it waits for the device that `classes` are on.
    ///
    /// # Errors
    /// Names the first number that is no class.
    pub fn check(&self, classes: &Tensor) -> Result<()> {
        let count = self.num_classes();
        let outside = classes.lt(0).logical_or(&classes.ge(count as i64));
        let found = classes.masked_select(&outside);
        if found.numel() == 0 {
            return Ok(());
        }
        let (expected, found) = (format!("indices 0..{count}"), found.int64_value(&[0]));
        Err(Error::Mismatch { key: "classes", expected, found: found.to_string() })
    }

    fn check_next(&self, task: &str, range: &Range<usize>) -> Result<()> {
        let wrong = |expected: String, found: String| {
            Err(Error::ClassRange { task: task.to_owned(), expected, found })
        };
        let next = self.num_classes();
        if self.0.iter().any(|(known, _)| known == task) {
            return wrong("one range".into(), "two".into());
        }
        if range.is_empty() {
            return wrong("at least one class".into(), format!("{range:?}"));
        }
        match self.task_of(range.start) {
            Some(other) => {
                let found = format!("{}: they overlap those of {}", range.start, self.0[other].0);
                wrong(format!("to start at {next}"), found)
            }
            None if range.start > next => {
                let found = format!("{}: {next}..{} have no task", range.start, range.start);
                wrong(format!("to start at {next}"), found)
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(ranges: &[(&str, Range<usize>)]) -> String {
        ClassRanges::from_ranges(ranges.iter().cloned()).unwrap_err().to_string()
    }

    #[test]
    fn tasks_follow_each_other() {
        let tasks = [("cub", 200), ("cars", 196), ("aircraft", 100), ("flowers", 102)];
        let ranges = ClassRanges::new(tasks).unwrap();
        assert_eq!((ranges.num_classes(), ranges.num_tasks()), (598, 4));
        let explicit = [("cub", 0..200), ("cars", 200..396), ("aircraft", 396..496)];
        let explicit = explicit.into_iter().chain([("flowers", 496..598)]);
        assert_eq!(ClassRanges::from_ranges(explicit.clone()).unwrap(), ranges);
        assert!(ranges.iter().eq(explicit));
        let at = [0, 199, 200, 395, 396, 495, 496, 597, 598].map(|class| ranges.task_of(class));
        let [a, b, c, d] = [0, 1, 2, 3].map(Some);
        assert_eq!(at, [a, a, b, b, c, c, d, d, None]);
    }

    #[test]
    fn the_lookup_says_the_same() {
        let ranges = ClassRanges::new([("a", 2), ("b", 1), ("c", 3)]).unwrap();
        let lookup = Vec::<i64>::try_from(ranges.lookup(Device::Cpu)).unwrap();
        assert_eq!(lookup, [0, 0, 1, 2, 2, 2]);
    }

    #[test]
    fn ranges_that_do_not_follow_each_other_are_refused() {
        assert_eq!(
            refusal(&[("cub", 0..200), ("cars", 150..396)]),
            "classes of cars: expected to start at 200, found 150: they overlap those of cub"
        );
        assert_eq!(
            refusal(&[("cub", 0..200), ("cars", 250..396)]),
            "classes of cars: expected to start at 200, found 250: 200..250 have no task"
        );
        assert_eq!(
            refusal(&[("cub", 1..200)]),
            "classes of cub: expected to start at 0, found 1: 0..1 have no task"
        );
        assert_eq!(
            refusal(&[("cub", 0..2), ("cub", 2..4)]),
            "classes of cub: expected one range, found two"
        );
    }

    #[test]
    fn nothing_is_refused() {
        let message = ClassRanges::new([("cub", 3), ("cars", 0)]).unwrap_err().to_string();
        assert_eq!(message, "classes of cars: expected at least one class, found 3..3");
        assert_eq!(refusal(&[]), "classes: expected at least one task, found none");
    }
}
