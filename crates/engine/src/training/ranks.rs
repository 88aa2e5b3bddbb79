//! What the processes of a run share beside gradients.

use polyptych_data::{Batch, Loader};
use polyptych_distributed::{Ranks, Traffic};
use polyptych_tensor::{Role, Tensor, no_grad, scramble};
use serde::Serialize;

use crate::training::log::{SamplePicture, to_json};
use crate::{Error, Model, Recipe, Result};

/// What a step of several processes was like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankReport {
    /// Processes.
    pub world_size: usize,
    /// Images of the step, of all processes.
    pub images: usize,
    /// Samples that their batches went without, because they are bad, of all processes.
    pub bad_samples: usize,
    /// Time that this process has spent in operations of all processes, waiting included, in ms.
    pub communication_ms: f64,
    /// Bytes of tensors that it gave to them.
    pub communication_bytes: u64,
}

/// What each rank does by its number.
pub(crate) trait ByRank {
    /// The seed of dropout of this rank: other images draw other masks.
    fn seed(&self, seed: i64) -> i64;

    /// Those of `result`, of which the others hear.
    ///
    /// # Errors
    /// The error of `result`, or that of the rank which caused it.
    fn heard<T>(&self, result: Result<T>) -> Result<T>;
}

impl ByRank for Ranks {
    fn seed(&self, seed: i64) -> i64 {
        match self.rank() {
            0 => seed,
            rank => scramble((seed as u64).wrapping_sub(rank as u64)) as i64,
        }
    }

    fn heard<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match error {
            Error::Distributed(_) => error,
            error => match self.blame(&error.to_string()) {
                Some(cause) => cause.into(),
                None => {
                    self.fail(&error.to_string());
                    error
                }
            },
        })
    }
}

/// Refuses fewer images in a batch than processes and parts that go through it.
pub(crate) fn enough_images(recipe: &Recipe, train: &Loader, ranks: &Ranks) -> Result<()> {
    let images = recipe.data.batch_size.min(train.dataset().len());
    let (size, accumulate) = (ranks.size(), recipe.train.accumulate);
    if images / size >= accumulate {
        return Ok(());
    }
    let reason = format!(
        "expected at least {} images in a batch, {accumulate} for each of {size} processes, found \
         {images}",
        size * accumulate
    );
    Err(Error::Recipe { origin: recipe.name.clone(), key: "data.batch_size".into(), reason })
}

/// Makes running means and variances of normalisations the means of those of all ranks, so that all
/// have one model.
///
/// # Errors
/// A rank that is gone.
pub(crate) fn average_running_statistics(model: &Model) -> Result<()> {
    let ranks = &model.ranks;
    if !ranks.are_many() {
        return Ok(());
    }
    let mut own: Vec<Tensor> = Vec::new();
    model.store.for_each(|name, entry| {
        let runs = name.ends_with(".running_mean") || name.ends_with(".running_var");
        if entry.role == Role::Buffer && runs {
            own.push(entry.tensor.shallow_clone());
        }
    });
    let sums = ranks.sum(&own.iter().collect::<Vec<_>>())?;
    no_grad(|| {
        let mut pairs = own.iter_mut().zip(&sums);
        pairs.try_for_each(|(own, sum)| own.f_copy_(&(sum / ranks.size() as f64)))
    })?;
    Ok(())
}

impl RankReport {
    /// What several processes say of a step, whose traffic began with `before`; none where there is
    /// one process.
    ///
    /// # Errors
    /// A rank that is gone.
    pub(crate) fn of(ranks: &Ranks, batch: &Batch, before: &Traffic) -> Result<Option<Self>> {
        if !ranks.are_many() {
            return Ok(None);
        }
        let own = [batch.names.len(), batch.skipped.len()].map(|count| count as f64);
        let all = ranks.sums(&own)?;
        let traffic = ranks.traffic().since(before);
        Ok(Some(Self {
            world_size: ranks.size(),
            images: all[0] as usize,
            bad_samples: all[1] as usize,
            communication_ms: traffic.time.as_secs_f64() * 1e3,
            communication_bytes: traffic.bytes,
        }))
    }
}

/// The pictures of all ranks, in the order of their samples.
///
/// # Errors
/// A rank that is gone.
pub(crate) fn pictures_of_all(
    ranks: &Ranks,
    own: Vec<SamplePicture>,
) -> Result<Vec<SamplePicture>> {
    if !ranks.are_many() {
        return Ok(own);
    }
    let all = ranks.gather(to_json(&own).as_bytes())?;
    let read =
        |bytes: &Vec<u8>| serde_json::from_slice::<Vec<SamplePicture>>(bytes).unwrap_or_default();
    let mut pictures: Vec<SamplePicture> = all.iter().flat_map(read).collect();
    pictures.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(pictures)
}
