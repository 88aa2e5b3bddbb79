//! VMT-Adapter and VMT-Adapter-Lite (Xin et al., AAAI 2024, arXiv 2312.08733).
//!
//! Beside the MLP of every block runs an adapter that all tasks share; each task owns a small
//! knowledge-extraction module. With `u` the adapter's input and `z` what flows to the next block,
//!
//! ```text
//! h   = sigma(W_down u + b_down)              shared
//! a_0 = s (W_up h + b_up)                     shared, joins z
//! h_t = gamma_t h + beta_t                    one task's module
//! a_t = s (W_up h_t + b_up)
//! z_t = z - a_0 + a_t                         leaves at the tap of a stage, for task t's head
//! ```
//!
//! `z_t` never comes back, so one pass through the trunk serves any number of tasks, and a task
//! costs one product per tap. What is computed per task is `a_t - a_0`, which is exactly 0 as long
//! as its module is at its first values.
//!
//! There is no public code, and the abstract leaves choices open: each is a field of
//! [`VmtAdapterConfig`]. Both forms of VMT-Adapter-Lite are [`Projections`] of their own.

mod add_task;
mod config;
mod knowledge;
mod merged;
mod pair;
mod path;
mod sites;

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Parallel, Parameter, ParameterKind, ParameterKinds, Plan, Result as TensorResult, Scope, Site,
    SiteKind, Tap, Tensors,
};

pub use add_task::add_task;
pub use config::{
    AdapterActivation, DecoderInput, KeBlocks, KnowledgeExtraction, Projections, VmtAdapterConfig,
};

use crate::blocks::tensors::copy;
use crate::blocks::width::Bottleneck;
use crate::error::Result;
use crate::method::{AddTask, Form, Method};
use pair::Pair;
use path::Path;
use sites::AdapterSite;

impl Part for VmtAdapterConfig {
    const NAME: &'static str = "vmt_adapter";
    const SUMMARY: &'static str =
        "a shared adapter parallel to the MLP, and a small extraction module per task";

    fn example() -> Self {
        Self { bottleneck: Bottleneck::Fixed(4), ..Self::default() }
    }
}

impl Method for VmtAdapterConfig {
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        Ok(Rc::new(VmtAdapter::new(self.clone(), tasks, form)?))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*vmt_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }

    fn new_tasks(&self) -> std::result::Result<AddTask, &'static str> {
        Ok(add_task)
    }
}

/// VMT-Adapter as a plan. See [`VmtAdapterConfig`].
#[derive(Debug)]
pub struct VmtAdapter {
    config: VmtAdapterConfig,
    tasks: Vec<String>,
    form: Form,
}

impl VmtAdapter {
    /// Checks `config` against `tasks` and makes the plan.
    ///
    /// A plan for some of a trained model's tasks serves them alone: the others' modules are not
    /// made and cost nothing, and the outputs are those of the whole model.
    ///
    /// # Errors
    /// As [`VmtAdapterConfig::validate`].
    pub fn new(config: VmtAdapterConfig, tasks: &[String], form: Form) -> Result<Self> {
        config.validate(tasks)?;
        Ok(Self { config, tasks: tasks.to_vec(), form })
    }

    /// The adapters of a backbone with `sites`.
    fn places(&self, sites: &[Site]) -> Vec<AdapterSite> {
        let mlps = sites.iter().filter(|site| site.kind == SiteKind::Mlp);
        mlps.map(|mlp| AdapterSite::new(&self.config, mlp)).collect()
    }
}

impl VmtAdapterConfig {
    fn tap(&self) -> Tap {
        match self.decoder_input {
            DecoderInput::Sum => Tap::Sum,
            DecoderInput::Concat => Tap::Concat,
        }
    }
}

impl Plan for VmtAdapter {
    fn parallel(&self, scope: &Scope, mlp: &Site) -> TensorResult<Option<Box<dyn Parallel>>> {
        let (config, form, scope) = (&self.config, self.form, &scope.adapter());
        let shape = [mlp.in_features, pair::bottleneck(config, mlp)?];
        let projections = match form {
            Form::Adapted => config.projections,
            Form::Merged => Projections::Separate,
        };
        let mut path = Path::new(scope, config, Pair::new(scope, projections, shape)?, form)?;
        let place = AdapterSite::new(config, mlp);
        if place.knowledge {
            path = path.with_tasks(scope, config, mlp.stage, shape, &self.tasks, form)?;
        }
        Ok(Some(Box::new(if place.tap { path.with_tap() } else { path })))
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        sites::check(&self.config, &self.places(sites))
    }

    fn trains(&self, kinds: &ParameterKinds) -> bool {
        let config = &self.config;
        let is = |kind: ParameterKind| kinds.contains(&kind);
        let patch_embed = is(ParameterKind::PatchEmbed);
        (patch_embed && config.train_patch_embed)
            || (is(ParameterKind::Norm) && !patch_embed && config.train_norm)
            || (is(ParameterKind::RelativePositionBias) && config.train_relative_position_bias)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut all = copy(tensors);
        for place in self.places(sites) {
            let tasks = if place.knowledge { self.tasks.as_slice() } else { &[] };
            merged::merge(&mut all, &place.path, &self.config, tasks)?;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The weight of a layer, of a norm, a table, and the norm of the patch embedding.
    const KINDS: [&[ParameterKind]; 4] = [
        &[],
        &[ParameterKind::Norm],
        &[ParameterKind::RelativePositionBias],
        &[ParameterKind::PatchEmbed, ParameterKind::Norm],
    ];

    /// Positions in [`KINDS`] of what trains.
    fn trains(fields: Value) -> Vec<usize> {
        let config = serde_json::from_value(fields).unwrap();
        let tasks = ["sal", "salt"].map(str::to_owned);
        let plan = VmtAdapter::new(config, &tasks, Form::Adapted).unwrap();
        let trains = |&index: &usize| plan.trains(&KINDS[index].iter().copied().collect());
        (0..KINDS.len()).filter(trains).collect()
    }

    #[test]
    fn switches_add_parameters_of_the_backbone() {
        assert_eq!(trains(json!({})), [0; 0]);
        assert_eq!(trains(json!({"train_norm": true})), [1]);
        assert_eq!(trains(json!({"train_relative_position_bias": true})), [2]);
        assert_eq!(trains(json!({"train_patch_embed": true})), [3]);
    }
}
