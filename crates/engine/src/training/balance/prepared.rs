//! What is known once autograd has said which parameters are shared, and what is refused then.

use polyptych_losses::balancers::loss::NormsOver;
use polyptych_tensor::Tensor;

use super::last_block;
use super::parameter_sharing::ParameterSharing;
use super::shared_clip::SharedClip;
use super::task_balancer::TaskBalancer;
use super::task_gradients::TaskGradientStore;
use crate::{Model, Result};

/// What a balancer works on.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The parameters over which the method asks for norms of gradients.
    pub(super) norms: Option<Vec<Tensor>>,
    pub(super) clip: Option<SharedClip>,
    pub(super) source: GradientSource,
}

/// Where the gradients of a step come from.
#[derive(Debug)]
pub(super) enum GradientSource {
    /// One backward pass of the weighted sum of losses.
    WeightedSum,
    /// One pass through each head, and one through the trunk.
    Features(ParameterSharing),
    /// One pass for each task: to aggregate, for the optimiser, or to measure conflict.
    Tasks(TaskGradientStore),
}

impl Prepared {
    /// Finds out which parameters of `model` are shared, where the method needs to know.
    ///
    /// `images`: `[batch, 3, height, width]`. Parameters come back bit for bit, LibTorch's generator
    /// is seeded anew: to be called before a step is seeded.
    ///
    /// # Errors
    /// An aggregator without shared parameters, or a cut without common features.
    pub(crate) fn find(balancer: &TaskBalancer, model: &Model, images: &Tensor) -> Result<Self> {
        if !needs_sharing(balancer) {
            return Ok(Self { norms: None, clip: None, source: GradientSource::WeightedSum });
        }
        let sharing = ParameterSharing::find(model, &balancer.params, images)?;
        let norms = balancer.balancer.norms_over().is_some() && balancer.tasks.len() > 1;
        if (balancer.aggregates() || norms) && sharing.shared.is_empty() {
            return Err(balancer.nothing_to_combine());
        }
        if balancer.cuts() && model.encode(images, false)?.cut().is_none() {
            return Err(balancer.nothing_in_common());
        }
        Ok(Self::new(balancer, sharing))
    }

    /// What `balancer` works on where `sharing` is known.
    pub(super) fn new(balancer: &TaskBalancer, sharing: ParameterSharing) -> Self {
        let clip = balancer.balancer.max_norm();
        let clip = clip.map(|max_norm| SharedClip::new(max_norm, &sharing, &balancer.params));
        Self { norms: norms(balancer, &sharing), clip, source: source(balancer, sharing) }
    }

    /// Whether the gradients of the losses must end in front of the heads.
    pub(crate) fn cuts(&self) -> bool {
        matches!(self.source, GradientSource::Features(_))
    }
}

fn needs_sharing(of: &TaskBalancer) -> bool {
    let asked = of.balancer.max_norm().is_some() || of.balancer.norms_over().is_some();
    of.aggregates() || of.by_task || asked || of.conflict_every.is_some()
}

fn norms(balancer: &TaskBalancer, sharing: &ParameterSharing) -> Option<Vec<Tensor>> {
    let (tasks, params) = (balancer.tasks.len(), &balancer.params);
    let indices = match balancer.balancer.norms_over()? {
        NormsOver::LastBlock => last_block::last_block(sharing, tasks, params),
        NormsOver::All => last_block::all(sharing, tasks),
    };
    Some(indices.into_iter().map(|index| params[index].1.shallow_clone()).collect())
}

fn source(balancer: &TaskBalancer, sharing: ParameterSharing) -> GradientSource {
    if balancer.cuts() {
        return GradientSource::Features(sharing);
    }
    match balancer.aggregates() || balancer.by_task || balancer.conflict_every.is_some() {
        true => GradientSource::Tasks(TaskGradientStore::new(balancer, sharing)),
        false => GradientSource::WeightedSum,
    }
}
