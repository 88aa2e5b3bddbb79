//! The adapter beside one MLP: the path that all tasks share, and the tasks' terms beside it.

use polyptych_tensor::{Activations, Parallel, ParallelOutput, Result, Scope, Tap};

use super::config::{AdapterActivation, VmtAdapterConfig};
use super::knowledge::Knowledge;
use super::merged::MergedTasks;
use super::pair::Pair;
use crate::blocks::parallel::AdapterInput;
use crate::blocks::scale::Scale;
use crate::method::Form;

/// `a_0 = s (W_up h + b_up)` with `h = sigma(W_down u + b_down)`.
#[derive(Debug)]
pub(super) struct Path {
    input: AdapterInput,
    activation: AdapterActivation,
    pair: Pair,
    scale: Scale,
    tasks: Option<Tasks>,
    tap: Option<Tap>,
    /// What the stage's tap makes of the terms.
    terms: Tap,
}

#[derive(Debug)]
enum Tasks {
    Modules(Knowledge),
    Merged(MergedTasks),
}

impl Path {
    /// Makes the path's parameters below `scope`; `pair` are its projections, `[d, k]` its widths.
    pub(super) fn new(
        scope: &Scope,
        config: &VmtAdapterConfig,
        pair: Pair,
        form: Form,
    ) -> Result<Self> {
        let (first, trainable) = config.scale();
        let scale = match (form, trainable) {
            // Merging multiplies the projections by it.
            (Form::Merged, _) => Scale::Fixed(1.0),
            (_, trainable) => Scale::new(scope, "vmt_scale", first, trainable)?,
        };
        let (input, activation) = (config.input, config.activation);
        Ok(Self { input, activation, pair, scale, tasks: None, tap: None, terms: config.tap() })
    }

    /// Adds what each of `tasks` has of its own here.
    pub(super) fn with_tasks(
        self,
        scope: &Scope,
        config: &VmtAdapterConfig,
        stage: usize,
        shape: [i64; 2],
        tasks: &[String],
        form: Form,
    ) -> Result<Self> {
        let kind = config.knowledge_extraction;
        let tasks = match form {
            Form::Adapted => Tasks::Modules(Knowledge::new(scope, kind, stage, shape, tasks)?),
            Form::Merged => Tasks::Merged(MergedTasks::new(scope, shape, tasks)?),
        };
        Ok(Self { tasks: Some(tasks), ..self })
    }

    /// Lets the stage's task streams leave behind this block.
    pub(super) fn with_tap(self) -> Self {
        Self { tap: Some(self.terms), ..self }
    }
}

impl Parallel for Path {
    fn forward(
        &self,
        residual: &Activations,
        normed: &Activations,
        _train: bool,
    ) -> ParallelOutput {
        // Task streams never come back into the trunk, so there is only the shared one to read.
        let u = match self.input {
            AdapterInput::Normed => normed.expect_shared(),
            AdapterInput::Residual => residual.expect_shared(),
        };
        let h = match self.activation {
            AdapterActivation::Relu => self.pair.down(u).relu(),
            AdapterActivation::Gelu => self.pair.down(u).gelu("none"),
        };
        let out = self.pair.up(&h);
        let aside = self.tasks.as_ref().map(|tasks| match tasks {
            Tasks::Modules(knowledge) => knowledge.terms(&self.pair, &h, &out, self.terms),
            Tasks::Merged(merged) => merged.terms(&self.pair, &h, self.terms),
        });
        let aside = aside.map(|terms| self.scale.apply(terms));
        ParallelOutput { added: Activations::Shared(self.scale.apply(out)), aside }
    }

    fn tap(&self) -> Option<Tap> {
        self.tap
    }
}
