//! What backbones and adapters agree on.
//!
//! A backbone asks a [`Plan`] for every projection by its timm name; the plan decides what stands
//! there. With [`NoAdapter`] the backbone is exactly timm's. Neither side knows the other.

use std::collections::BTreeSet;
use std::fmt::Debug;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::parameter::parameters;
use crate::site::Site;
use crate::{
    Activations, Gate, Linear, Neck, Parallel, Parameter, ParameterKinds, PlainPass, Prompts,
    Result, Scope, Store, TaskPrompts, Tensors,
};
use polyptych_kernels::gelu;

/// A linear map over the last axis that may carry an adapter.
pub trait Projection: Debug {
    /// Maps `[.., in_features]` to `[.., out_features]` for every stream that the method has here.
    ///
    /// `train` switches dropout on.
    fn forward(&self, x: &Activations, train: bool) -> Activations;

    /// `next(gelu(self(x)))`: a perceptron with nothing between its matrices but the activation.
    ///
    /// A method need not form the hidden streams of tasks where `next` reads them narrowly.
    fn forward_perceptron(
        &self,
        x: &Activations,
        next: &dyn Projection,
        train: bool,
    ) -> Activations {
        next.forward(&self.forward(x, train).map(gelu), train)
    }

    /// The projection as one that reads streams of tasks narrowly, if it does.
    fn narrow(&self) -> Option<&dyn Narrow> {
        None
    }

    /// The linear map that the projection is, if it is that alone, for every stream alike.
    fn linear(&self) -> Option<&Linear> {
        None
    }
}

/// A projection that reads the stream of a task through a matrix of low rank and in no other way.
pub trait Narrow {
    /// That matrix of every task, `[tasks, r, in_features]`, with `r` up to [`NARROW_RANK`].
    ///
    /// [`NARROW_RANK`]: polyptych_kernels::NARROW_RANK
    fn matrices(&self, kind: Kind) -> Tensor;

    /// [`Projection::forward`] of the stream that all tasks share, `[.., in_features]`, and of what
    /// the matrices made of the others, `[tasks, .., r]`.
    fn forward_narrow(&self, shared: &Tensor, low: &Tensor, train: bool) -> Activations;
}

/// What a plan saw of every image of a batch, under the name of the site: `[rows, values]`, where as
/// many rows as an image has parts follow each other, or `[tasks, rows, values]` where tasks differ.
pub type Observed = Vec<(String, Tensor)>;

/// Which activations a stage hands to the heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pyramid {
    /// Those behind its last block, as timm's `forward_intermediates` does.
    AfterBlocks,
    /// Those behind the patch merging that follows, as MTLoRA does; the last stage as above.
    AfterMerging,
}

/// What a method puts at a backbone's sites.
pub trait Plan: Debug {
    /// Says before anything is made that heads read what comes out of the last stage alone: streams
    /// of tasks need not leave stages before it.
    fn read_last_stage_alone(&self) {}

    /// Makes the projection at `site`, with its parameters below `scope`; timm's own layer unless
    /// the method has another.
    ///
    /// # Errors
    /// A configuration that does not fit the site.
    fn projection(&self, scope: &Scope, site: &Site) -> Result<Box<dyn Projection>> {
        Ok(Box::new(Plain(Linear::new(scope, site.in_features, site.out_features, site.bias)?)))
    }

    /// Makes what scales the hidden units of the MLP whose first matrix stands at `fc1`, with its
    /// parameters below `scope`, the MLP's own; nothing unless the method has such a gate.
    ///
    /// # Errors
    /// A configuration that does not fit the MLP.
    fn gate(&self, _scope: &Scope, _fc1: &Site) -> Result<Option<Box<dyn Gate>>> {
        Ok(None)
    }

    /// Makes the path beside the MLP at `mlp`, with its parameters below `scope`, the MLP's own;
    /// nothing unless the method has one.
    ///
    /// # Errors
    /// A configuration that does not fit the MLP.
    fn parallel(&self, _scope: &Scope, _mlp: &Site) -> Result<Option<Box<dyn Parallel>>> {
        Ok(None)
    }

    /// Makes what joins the tokens in front of `block`, with its parameters below `scope`, the
    /// block's own; where there is nothing, earlier prompts flow on to the end of a ViT or of a
    /// Swin's stage. `patch` is what goes into and comes out of the patch embedding for one patch,
    /// on which first values may depend.
    ///
    /// # Errors
    /// A configuration that does not fit the block.
    fn prompts(
        &self,
        _scope: &Scope,
        _block: &Site,
        _patch: [i64; 2],
    ) -> Result<Option<Box<dyn Prompts>>> {
        Ok(None)
    }

    /// Makes the tokens of tasks that pass `block` beside the image's, with their parameters below
    /// `scope`, the block's own; for all blocks of a backbone, or for none. A backbone asks for them
    /// whose blocks attend within windows, by scaled products.
    ///
    /// # Errors
    /// A configuration that does not fit the block.
    fn task_prompts(&self, _scope: &Scope, _block: &Site) -> Result<Option<Box<dyn TaskPrompts>>> {
        Ok(None)
    }

    /// Makes what stands behind the levels, which have `channels` numbers each, with its parameters below
    /// `scope`, the backbone's own; nothing unless the method has such a part. It is asked for last.
    ///
    /// # Errors
    /// A configuration that does not fit the levels.
    fn neck(&self, _scope: &Scope, _channels: &[i64]) -> Result<Option<Box<dyn Neck>>> {
        Ok(None)
    }

    /// Tells the plan where the run stands: `step` of `steps` were done before what comes next.
    fn set_progress(&self, _step: u64, _steps: u64) {}

    /// Says that passes from now on are for the task at `index` of the plan's task axis alone, until
    /// they are for all tasks again (`None`). A method may run its stream alone then, as the shared
    /// one; one that does not care runs all of them.
    fn choose_task(&self, _index: Option<usize>) {}

    /// Says that passes outside of training are from now on for the tasks at `indices` of the plan's
    /// task axis, until they are for all tasks again (`None`). Gives whether streams of tasks are
    /// those of `indices` alone then, in that order; a method that does not care runs all of them.
    fn ask_for(&self, _indices: Option<&[usize]>) -> bool {
        false
    }

    /// Lets the plan read the gradients of a step, which are complete and clipped, before the optimiser
    /// moves anything. A step that is skipped does not get here.
    fn before_step(&self) {}

    /// The method's own term of the loss, a scalar with its gradient, as of the last forward pass
    /// in training; nothing where the tasks' losses are all.
    ///
    /// A step adds its gradient once, behind whatever balances the tasks.
    fn penalty(&self) -> Option<Tensor> {
        None
    }

    /// Why the model cannot be merged as it is now; nothing where it can.
    fn unmergeable(&self) -> Option<String> {
        None
    }

    /// Takes what the plan noted in the last forward pass outside of training.
    fn observed(&self) -> Observed {
        Observed::new()
    }

    /// Takes the number of multiply-adds that the merged form of the method noted since it was last
    /// asked; nothing unless it counts them.
    fn multiply_adds(&self) -> Option<u64> {
        None
    }

    /// What part of every layer tasks have for themselves, by the layer's name: from 0 for the frozen
    /// layer to 1, one number for all tasks or one for each; nothing where the method chooses none.
    fn taken(&self) -> Option<Vec<(String, Vec<f64>)>> {
        None
    }

    /// What has to be kept of `tensors`, those of the backbone that was built with the plan, beside a
    /// copy of the frozen backbone; nothing where the method has no such form.
    ///
    /// # Errors
    /// A tensor that the plan made and the map lacks.
    fn delta(&self, _sites: &[Site], _tensors: &Tensors) -> Result<Option<Tensors>> {
        Ok(None)
    }

    /// The method as one that has to see what the plain backbone makes of images, if it has to.
    fn plain_pass(&self) -> Option<&dyn PlainPass> {
        None
    }

    /// Checks what only the whole backbone can show: `sites` are all that it asked for, in its
    /// order, and `parameters` all that were made.
    ///
    /// # Errors
    /// A configuration that fits no site.
    fn check(&self, _sites: &[Site], _parameters: &[Parameter]) -> Result<()> {
        Ok(())
    }

    /// Which activations the heads read, unless the run chooses otherwise.
    fn pyramid(&self) -> Pyramid {
        Pyramid::AfterBlocks
    }

    /// Whether the tasks' streams run through the whole trunk: what leaves a stage as a level goes
    /// on into the next with all of its streams. Otherwise only the shared stream goes on.
    fn keeps_streams(&self) -> bool {
        false
    }

    /// Whether parameters of the backbone's own that are of `kinds` train: its biases, its norms,
    /// all of them. What the method makes below [`Scope::adapter`] trains in any case.
    fn trains(&self, _kinds: &ParameterKinds) -> bool {
        false
    }

    /// The parameters of the backbone that was built with the plan below `scope`: what trains, and
    /// who owns what.
    fn parameters(&self, scope: &Scope) -> Vec<Parameter> {
        parameters(scope, |kinds| self.trains(kinds))
    }

    /// Makes exactly the parameters of `store` trainable that train with the plan.
    fn set_trainable(&self, store: &Store) {
        let all = self.parameters(&store.root());
        let trained: BTreeSet<String> =
            all.into_iter().filter(|own| own.trains).map(|own| own.name).collect();
        store.set_trainable(|name| trained.contains(name));
    }

    /// Merges into the backbone's weights what can be merged, in a copy of its tensors. `sites` are
    /// all that the backbone asked for, in its order.
    ///
    /// What cannot be merged stays under the method's own names. A model that is built with the
    /// same plan in its merged form has exactly the names that remain.
    ///
    /// # Errors
    /// A tensor that the plan made and the map lacks.
    fn merge(&self, _sites: &[Site], tensors: &Tensors) -> Result<Tensors> {
        Ok(tensors.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect())
    }
}

/// No adapter: timm's own layers; everything trains, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAdapter {
    /// Full fine-tuning.
    Full,
    /// Decoders only.
    Frozen,
}

impl Plan for NoAdapter {
    fn trains(&self, _kinds: &ParameterKinds) -> bool {
        *self == NoAdapter::Full
    }
}

/// A linear map that treats every stream alike.
#[derive(Debug)]
pub struct Plain(pub Linear);

impl Projection for Plain {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        x.map(|t| self.0.forward(t))
    }

    fn forward_perceptron(
        &self,
        x: &Activations,
        next: &dyn Projection,
        train: bool,
    ) -> Activations {
        next.forward(&x.map(|t| self.0.forward_gelu(t)), train)
    }

    fn linear(&self) -> Option<&Linear> {
        Some(&self.0)
    }
}
