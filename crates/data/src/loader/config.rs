//! How batches are made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AugmentConfig, Error, Result};

/// ImageNet's channel means and standard deviations, values in `[0, 1]`.
const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// How often each of several joined data sets is drawn from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// In proportion to its size: every sample once an epoch.
    #[default]
    Union,
    /// As `union`, in an order by which shards are read from their beginning to their end, few at a
    /// time: for sets that no memory holds. Shards have an order of their own in every epoch. Each
    /// is dealt out to one of so many streams as a batch has samples, or fewer where there are fewer
    /// shards; samples of a stream are drawn from a buffer of 1000. Of several processes each reads
    /// the shards of its own part of a batch.
    Shards,
    /// As often as any other, round-robin: an epoch is as long as that of `union`, small data sets
    /// come several times, and of large ones a part.
    PerDataset,
}

/// What becomes of a training run when a sample cannot be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadSample {
    /// It ends with the sample's error.
    #[default]
    Stop,
    /// The batch goes without the sample and says so; one without any sample ends the run.
    Skip,
}

impl OnBadSample {
    /// Whether a bad sample ends the run.
    pub fn is_stop(&self) -> bool {
        *self == Self::Stop
    }
}

/// Size, order and preparation of batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoaderConfig {
    /// Samples in a batch; the last of an epoch may be smaller.
    pub batch_size: usize,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Whether each epoch has its own order; otherwise the data set's.
    pub shuffle: bool,
    /// How often each of several joined data sets is drawn from, where epochs are shuffled.
    #[serde(default)]
    pub sampling: Sampling,
    /// Whether a smaller last batch is left out.
    pub drop_last: bool,
    /// `[height, width]` of a batch.
    pub img_size: [usize; 2],
    /// Mean of each channel, values in `[0, 1]`.
    #[serde(default = "imagenet_mean")]
    pub mean: [f32; 3],
    /// Standard deviation of each channel, above 0.
    #[serde(default = "imagenet_std")]
    pub std: [f32; 3],
    /// Random changes; none for evaluation.
    #[serde(default)]
    pub augment: Option<AugmentConfig>,
    /// What becomes of a sample that cannot be read or does not fit its tasks.
    #[serde(default)]
    pub on_bad_sample: OnBadSample,
    /// Finished batches that may wait. At no time do more than this plus two exist: these, the one
    /// in work and the one that was taken last; a batch takes 4 bytes for each number of its images
    /// and targets, and leaves them to a later one. Decoded files add what one image takes for each
    /// thread.
    pub prefetch: usize,
    /// Threads that decode and transform; absent: one per core. Never changes a batch.
    #[serde(default)]
    pub threads: Option<usize>,
}

impl LoaderConfig {
    /// Batches in the data set's order, all of it, ImageNet's normalisation, no augmentation.
    pub fn evaluation(batch_size: usize, img_size: [usize; 2]) -> Self {
        Self {
            batch_size,
            seed: 0,
            shuffle: false,
            sampling: Sampling::Union,
            drop_last: false,
            img_size,
            mean: imagenet_mean(),
            std: imagenet_std(),
            augment: None,
            on_bad_sample: OnBadSample::Stop,
            prefetch: 2,
            threads: None,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] names the field, what it must be and what it is.
    pub fn validate(&self) -> Result<()> {
        require("batch_size", "at least 1", self.batch_size > 0, self.batch_size)?;
        let threads = self.threads.unwrap_or(1);
        require("threads", "at least 1", threads > 0, threads)?;
        let img_size = format!("{:?}", self.img_size);
        require(
            "img_size",
            "[height, width], both at least 1",
            !self.img_size.contains(&0),
            img_size,
        )?;
        let finite = self.mean.iter().all(|v| v.is_finite());
        require("mean", "finite numbers", finite, format!("{:?}", self.mean))?;
        let positive = self.std.iter().all(|v| v.is_finite() && *v > 0.0);
        require("std", "numbers above 0", positive, format!("{:?}", self.std))?;
        self.augment.iter().try_for_each(AugmentConfig::validate)
    }
}

fn imagenet_mean() -> [f32; 3] {
    IMAGENET.0
}

fn imagenet_std() -> [f32; 3] {
    IMAGENET.1
}

fn require(key: &str, expected: &str, holds: bool, found: impl ToString) -> Result<()> {
    let error = || Error::Config {
        origin: "loader".to_owned(),
        key: key.to_owned(),
        expected: expected.to_owned(),
        found: found.to_string(),
    };
    holds.then_some(()).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(change: impl FnOnce(&mut LoaderConfig)) -> String {
        let mut config = LoaderConfig::evaluation(4, [8, 8]);
        config.validate().unwrap();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn wrong_fields_are_named() {
        assert_eq!(
            message(|c| c.batch_size = 0),
            "loader: batch_size: expected at least 1, found 0"
        );
        assert_eq!(
            message(|c| c.threads = Some(0)),
            "loader: threads: expected at least 1, found 0"
        );
        assert_eq!(
            message(|c| c.img_size = [0, 8]),
            "loader: img_size: expected [height, width], both at least 1, found [0, 8]"
        );
        assert_eq!(
            message(|c| c.std[1] = 0.0),
            "loader: std: expected numbers above 0, found [0.229, 0.0, 0.225]"
        );
        assert!(message(|c| c.mean[0] = f32::NAN).starts_with("loader: mean: expected finite"));
        let wrong = AugmentConfig { flip: 2.0, ..AugmentConfig::pascal() };
        assert!(message(|c| c.augment = Some(wrong)).starts_with("augment: flip"));
    }
}
