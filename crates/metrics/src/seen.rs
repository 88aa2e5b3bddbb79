//! What a metric has seen, so that several of them become one.

use serde::{Deserialize, Serialize};

use crate::ExactSum;

/// Everything that a metric adds up over images, by reference.
#[derive(Debug, Default)]
pub struct SeenMut<'a> {
    /// Counts, in an order of the metric's own.
    pub counts: Vec<&'a mut u64>,
    /// Sums.
    pub sums: Vec<&'a mut ExactSum>,
    /// Lists, of which the order means nothing.
    pub lists: Vec<&'a mut Vec<(f32, bool)>>,
}

/// Everything that a metric has added up over images: what one process sends to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    counts: Vec<u64>,
    sums: Vec<ExactSum>,
    lists: Vec<Vec<(f32, bool)>>,
}

impl SeenMut<'_> {
    /// A copy.
    pub(crate) fn copy(&self) -> Seen {
        Seen {
            counts: self.counts.iter().map(|count| **count).collect(),
            sums: self.sums.iter().map(|sum| (**sum).clone()).collect(),
            lists: self.lists.iter().map(|list| (**list).clone()).collect(),
        }
    }

    /// Adds what another metric of the same kind and options has seen.
    pub(crate) fn add(&mut self, other: &Seen) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            **count += more;
        }
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, more)| sum.merge(more));
        self.lists.iter_mut().zip(&other.lists).for_each(|(list, more)| list.extend(more));
    }
}
