//! The one thing a loader asks of a data set.

use crate::{DatasetRecord, Error, Result, Sample, TaskSpec};

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The file, and the place in a file of several images: the same for the same image, whatever
    /// data set reads it.
    pub image: String,
    /// The split that it was opened with.
    pub split: &'a str,
}

/// A finite list of samples, readable from many threads.
pub trait Dataset: Send + Sync {
    /// Name that errors and reports use.
    fn name(&self) -> &str;

    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there is no sample at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tasks that samples may carry labels for.
    fn tasks(&self) -> &[TaskSpec];

    /// Lengths of the data sets that this one joins, one after the other; its own length if it
    /// joins none.
    fn parts(&self) -> Vec<usize> {
        vec![self.len()]
    }

    /// Lengths of the files of many samples that hold the samples, one after the other; of data sets
    /// without such files, those of [`Dataset::parts`].
    fn shards(&self) -> Vec<usize> {
        self.parts()
    }

    /// What each of the data sets that this one joins looks like from outside: another record where
    /// samples came, went, changed names or are files of another length, or where labels are read
    /// otherwise.
    fn records(&self) -> Vec<DatasetRecord> {
        let (name, samples) = (self.name().to_owned(), self.len());
        vec![DatasetRecord { name, samples, ..DatasetRecord::default() }]
    }

    /// Where the image of sample `index` comes from; none where it is made rather than read.
    fn origin(&self, _index: usize) -> Option<Origin<'_>> {
        None
    }

    /// Reads sample `index`, below [`Dataset::len`].
    ///
    /// # Errors
    /// Whatever the file system or the files' contents cause.
    fn get(&self, index: usize) -> Result<Sample>;

    /// Everything that is wrong with sample `index`: its first fault, or all where a data set can
    /// read on behind one.
    fn problems(&self, index: usize) -> Vec<Error> {
        let checked = self.get(index).and_then(|sample| sample.check(self.tasks()));
        checked.err().into_iter().collect()
    }
}
