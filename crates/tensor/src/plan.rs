//! What backbones and adapters agree on.
//!
//! A backbone asks a [`Plan`] for every projection by its timm name; the plan decides what stands
//! there. With [`NoAdapter`] the backbone is exactly timm's. Neither side knows the other.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::{Activations, Linear, Result, Scope, Tensors};
use polyptych_kernels::gelu;

/// Which projection of a block stands at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SiteKind {
    /// Query, key and value in one matrix: `attn.qkv`.
    Qkv,
    /// Query alone: `attn.q`, `attn.q_proj`.
    Q,
    /// Key, value, or both in one matrix: `attn.k_proj`, `attn.v_proj`, `attn.kv`.
    Kv,
    /// Output of attention: `attn.proj`.
    Proj,
    /// First matrix of the MLP: `mlp.fc1`, or `mlp.fc1_x` where a gate stands beside it.
    Fc1,
    /// The gate beside the first matrix of a gated MLP: `mlp.fc1_g`.
    Fc1Gate,
    /// Second matrix of the MLP: `mlp.fc2`.
    Fc2,
    /// Patch merging: `downsample.reduction`.
    Reduction,
    /// The whole MLP, `mlp`: no projection stands there, but a path may run beside it.
    Mlp,
    /// A whole block: no projection stands there, but prompts may join the tokens in front of it.
    Block,
}

/// One projection of a backbone, as the backbone describes it to a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// timm's name within the backbone: `layers.2.blocks.5.mlp.fc1`.
    pub path: String,
    /// What stands there.
    pub kind: SiteKind,
    /// Length of the last axis that goes in.
    pub in_features: i64,
    /// Length of the last axis that comes out.
    pub out_features: i64,
    /// Whether timm's layer has a bias.
    pub bias: bool,
    /// Index of the stage; a ViT's blocks fall into as many stages as it hands out features.
    pub stage: usize,
    /// Whether the block is the last of its stage.
    pub last_in_stage: bool,
    /// Whether the stage is the last of the backbone.
    pub last_stage: bool,
}

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

/// What scales the hidden units of an MLP, between its first matrix and its activation.
pub trait Gate: Debug {
    /// Scales `hidden`, `[.., hidden_features]`, by what it reads in `x`, `[.., in_features]`: the
    /// output and the input of `mlp.fc1`.
    ///
    /// Outside of training the gate may note what it saw, for [`Plan::observed`].
    fn forward(&self, x: &Activations, hidden: &Activations, train: bool) -> Activations;
}

/// A path parallel to the MLP of a block.
pub trait Parallel: Debug {
    /// What the path makes of `residual`, the stream that the block's MLP branches from, and of
    /// `normed`, the same behind the second norm, which the MLP reads; `[.., dim]` both.
    fn forward(&self, residual: &Activations, normed: &Activations, train: bool) -> ParallelOutput;

    /// How the streams of tasks leave the trunk behind this block; nothing if they do not.
    fn tap(&self) -> Option<Tap> {
        None
    }
}

/// Trainable tokens that join those of an image in front of a block.
///
/// They attend and are attended to like the image's, and are dropped before any head reads.
pub trait Prompts: Debug {
    /// `[batch, prompts, dim]`, in place of what the block before made of its own prompts.
    fn forward(&self, batch: i64, train: bool) -> Tensor;
}

/// What a path parallel to an MLP makes.
#[derive(Debug)]
pub struct ParallelOutput {
    /// Joins what flows on to the next block; stochastic depth does not touch it.
    pub added: Activations,
    /// `[tasks, batch, .., dim]`: the tasks' own terms. They never enter the next block: within a
    /// stage they are summed up to its tap and leave there.
    pub aside: Option<Tensor>,
}

/// What the heads of a task read at a tap: the trunk `z` behind the tap's block and the sum `a` of
/// the task's terms in the stage so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tap {
    /// `z + a`.
    Sum,
    /// `z` and `a` one behind the other, twice as wide as the trunk.
    Concat,
}

/// The one task that depends on a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'n> {
    /// The task.
    pub task: &'n str,
    /// Index of the stage whose level alone depends on the parameter.
    pub stage: usize,
}

/// What a plan saw of every image of a batch: `[batch, values]` under the name of the site.
pub type Observed = Vec<(String, Tensor)>;

/// Which activations a stage hands to the heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pyramid {
    /// Those behind its last block, as timm's `forward_intermediates` does.
    AfterBlocks,
    /// Those behind the patch merging that follows, as MTLoRA does; the last stage as above.
    AfterMerging,
}

/// What a method puts at a backbone's sites.
pub trait Plan: Debug {
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

    /// Tells the plan where the run stands: `step` of `steps` were done before what comes next.
    fn set_progress(&self, _step: u64, _steps: u64) {}

    /// Why the model cannot be merged as it is now; nothing where it can.
    fn unmergeable(&self) -> Option<String> {
        None
    }

    /// Takes what the plan noted in the last forward pass outside of training.
    fn observed(&self) -> Observed {
        Observed::new()
    }

    /// Checks what only the whole backbone can show; to be called once all sites were asked for.
    ///
    /// # Errors
    /// A configuration that fits no site.
    fn finish(&self) -> Result<()> {
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

    /// Whether the backbone's parameter `name` (timm's or the method's own) trains.
    fn trains(&self, name: &str) -> bool;

    /// Who alone depends on the backbone's parameter `name`, once all sites were asked for; nothing
    /// where several tasks may.
    fn owner<'n>(&self, _name: &'n str) -> Option<Owner<'n>> {
        None
    }

    /// Merges into the backbone's weights what can be merged, in a copy of its tensors.
    ///
    /// What cannot be merged stays under the method's own names. A model that is built with the
    /// same plan in its merged form has exactly the names that remain.
    ///
    /// # Errors
    /// A tensor that the plan made and the map lacks.
    fn merge(&self, tensors: &Tensors) -> Result<Tensors> {
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
    fn trains(&self, _name: &str) -> bool {
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
}
