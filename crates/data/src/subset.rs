//! Some samples of a data set.

use std::sync::Arc;

use crate::{Dataset, Error, Result, Sample, TaskSpec};

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

    /// The first `limit` samples, or all if there are fewer.
    pub fn first(dataset: Arc<dyn Dataset>, limit: usize) -> Self {
        let indices = (0..limit.min(dataset.len())).collect();
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

    fn get(&self, index: usize) -> Result<Sample> {
        self.dataset.get(self.indices[index])
    }
}
