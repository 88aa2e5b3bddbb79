//! Some samples of a data set.

use std::sync::Arc;

use crate::{Dataset, DatasetRecord, Error, Origin, Result, Sample, TaskSpec};

/// The samples of a data set that a list names, in its order.
pub struct Subset {
    dataset: Arc<dyn Dataset>,
    indices: Vec<usize>,
}

impl Subset {
    /// The samples with these indices; an index may come more than once.
    ///
    /// # Errors
    /// [`Error::Config`] if an index is not below the data set's length.
    pub fn new(dataset: Arc<dyn Dataset>, indices: Vec<usize>) -> Result<Self> {
        let len = dataset.len();
        match indices.iter().find(|&&index| index >= len) {
            Some(index) => Err(Error::Config {
                origin: dataset.name().to_owned(),
                key: "indices".to_owned(),
                expected: format!("indices below {len}"),
                found: index.to_string(),
            }),
            None => Ok(Self { dataset, indices }),
        }
    }

    /// `limit` samples at even distances, or all if there are fewer: folders of classes follow each
    /// other, so the first samples may all be of one class.
    pub fn evenly(dataset: Arc<dyn Dataset>, limit: usize) -> Self {
        let (len, limit) = (dataset.len(), limit.min(dataset.len()));
        let indices = (0..limit).map(|turn| turn * len / limit).collect();
        Self { dataset, indices }
    }
}

impl Dataset for Subset {
    fn name(&self) -> &str {
        self.dataset.name()
    }

    fn len(&self) -> usize {
        self.indices.len()
    }

    fn tasks(&self) -> &[TaskSpec] {
        self.dataset.tasks()
    }

    fn records(&self) -> Vec<DatasetRecord> {
        let limited = |record| DatasetRecord { limit: Some(self.len()), ..record };
        self.dataset.records().into_iter().map(limited).collect()
    }

    fn origin(&self, index: usize) -> Option<Origin<'_>> {
        self.dataset.origin(self.indices[index])
    }

    fn get(&self, index: usize) -> Result<Sample> {
        self.dataset.get(self.indices[index])
    }

    fn problems(&self, index: usize) -> Vec<Error> {
        self.dataset.problems(self.indices[index])
    }
}
