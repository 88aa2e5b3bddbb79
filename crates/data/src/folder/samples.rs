//! Samples of a folder, as every data set gives them.

use super::dataset::FolderDataset;
use super::labels::Labels;
use super::picture::Picture;
use crate::{Dataset, DatasetRecord, Error, Origin, Result, Sample, TaskSpec};

impl Dataset for FolderDataset {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn shards(&self) -> Vec<usize> {
        self.images.shards(self.items.len())
    }

    fn records(&self) -> Vec<DatasetRecord> {
        vec![self.record()]
    }

    fn origin(&self, index: usize) -> Option<Origin<'_>> {
        Some(Origin { image: self.images.place(index, &self.items[index]), split: &self.split })
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let slots = &self.items[index];
        let Picture { image, frame } = self.images.read(index, slots)?;
        let label = |(task, labels): (&TaskSpec, &Labels)| {
            let label = labels.get(index, slots, task, Some(&frame))?;
            Ok(label.map(|label| (task.name.clone(), label)))
        };
        let labels = self.wanted().filter_map(|pair| label(pair).transpose());
        let labels = labels.collect::<Result<_>>()?;
        Ok(Sample { name: self.images.title(slots), image, labels })
    }

    fn problems(&self, index: usize) -> Vec<Error> {
        self.inspect(index).problems
    }
}
