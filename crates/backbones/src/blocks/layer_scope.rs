//! Where in a backbone a layer is built: the scope of its parameters, and its site for a plan.

use std::fmt::Display;

use polyptych_tensor::{
    Gate, Parallel, ParameterKind, Plan, Projection, Prompts, Result, Scope, Site, SiteKind,
    TaskPrompts,
};

/// A scope together with the plan and the stage that hold there.
#[derive(Clone)]
pub(crate) struct LayerScope<'a> {
    /// The scope of the parameters.
    pub(crate) params: Scope,
    plan: &'a dyn Plan,
    above: usize,
    stage: usize,
    last_in_stage: bool,
    last_stage: bool,
}

impl<'a> LayerScope<'a> {
    /// The top of a backbone, which may itself lie in a larger model.
    pub(crate) fn top(scope: &Scope, plan: &'a dyn Plan) -> Self {
        let above = if scope.path().is_empty() { 0 } else { scope.path().len() + 1 };
        let (stage, last_in_stage, last_stage) = (0, false, false);
        Self { params: scope.clone(), plan, above, stage, last_in_stage, last_stage }
    }

    /// Goes down into `name`.
    pub(crate) fn pp(&self, name: impl Display) -> Self {
        Self { params: self.params.pp(name), ..self.clone() }
    }

    /// Says in which of `stages` stages the scope lies.
    pub(crate) fn in_stage(self, stage: usize, stages: usize) -> Self {
        Self { stage, last_stage: stage + 1 == stages, ..self }
    }

    /// Says whether the scope lies in the last block of its stage.
    pub(crate) fn in_last_block(self, last_in_stage: bool) -> Self {
        Self { last_in_stage, ..self }
    }

    /// What the plan puts at `name`, for `[.., in_features]` to `[.., out_features]`.
    pub(crate) fn projection(
        &self,
        name: &str,
        kind: SiteKind,
        [in_features, out_features]: [i64; 2],
        bias: bool,
    ) -> Result<Box<dyn Projection>> {
        let scope = match kind {
            SiteKind::Reduction => self.params.pp(name).of_kind(ParameterKind::PatchMerging),
            _ => self.params.pp(name),
        };
        let site = self.site(&scope, kind, [in_features, out_features], bias);
        self.plan.projection(&scope, &site)
    }

    /// What scales the hidden units of the MLP that stands here, for `[.., in_features]` to
    /// `[.., hidden_features]`.
    pub(crate) fn gate(&self, features: [i64; 2]) -> Result<Option<Box<dyn Gate>>> {
        let fc1 = self.site(&self.params.pp("fc1"), SiteKind::Fc1, features, true);
        self.plan.gate(&self.params, &fc1)
    }

    /// The path beside the block's MLP, which maps `[.., dim]` to itself.
    pub(crate) fn parallel(&self, dim: i64) -> Result<Option<Box<dyn Parallel>>> {
        let scope = self.params.pp("mlp");
        self.plan.parallel(&scope, &self.site(&scope, SiteKind::Mlp, [dim, dim], true))
    }

    /// What joins the tokens, of `dim` numbers each, in front of the block that stands here;
    /// `patch` is what goes into and comes out of the patch embedding.
    pub(crate) fn prompts(&self, dim: i64, patch: [i64; 2]) -> Result<Option<Box<dyn Prompts>>> {
        let block = self.site(&self.params, SiteKind::Block, [dim, dim], false);
        self.plan.prompts(&self.params, &block, patch)
    }

    /// The tokens of tasks that pass the block that stands here beside the image's, of `dim` numbers
    /// each.
    pub(crate) fn task_prompts(&self, dim: i64) -> Result<Option<Box<dyn TaskPrompts>>> {
        let block = self.site(&self.params, SiteKind::Block, [dim, dim], false);
        self.plan.task_prompts(&self.params, &block)
    }

    fn site(
        &self,
        scope: &Scope,
        kind: SiteKind,
        [in_features, out_features]: [i64; 2],
        bias: bool,
    ) -> Site {
        Site {
            path: scope.path()[self.above..].to_owned(),
            kind,
            in_features,
            out_features,
            bias,
            stage: self.stage,
            last_in_stage: self.last_in_stage,
            last_stage: self.last_stage,
        }
    }
}
