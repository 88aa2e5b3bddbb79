//! Building a backbone with a plan, and what that gave.

use std::cell::RefCell;

use polyptych_tensor::{
    Gate, Neck, Parallel, Parameter, Plan, Projection, Prompts, Pyramid, Result as TensorResult,
    Scope, Site, TaskPrompts, quantizable,
};

use crate::architectures::BackboneConfig;
use crate::backbone::{Backbone, Options};
use crate::error::{Error, Result};

/// A backbone, and all that its plan was asked for.
#[derive(Debug)]
pub struct Built {
    /// The backbone.
    pub backbone: Box<dyn Backbone>,
    /// The sites that it asked for, in its order; [`Plan::merge`] goes by them.
    pub sites: Vec<Site>,
    /// Its parameters and the plan's: what trains, and which task owns what.
    pub parameters: Vec<Parameter>,
}

impl BackboneConfig {
    /// Builds the backbone with its parameters below `scope` and `plan` at its projections, and
    /// checks that the plan fits it as a whole.
    ///
    /// # Errors
    /// As [`Architecture::init`](crate::Architecture::init), and [`Error::Plan`] of
    /// [`Plan::check`].
    pub fn build(&self, scope: &Scope, plan: &dyn Plan, options: Options) -> Result<Built> {
        let recorder = Recorder { plan, sites: RefCell::default() };
        let backbone = self.init(scope, &recorder, options)?;
        let (sites, parameters) = (recorder.sites.into_inner(), plan.parameters(scope));
        plan.check(&sites, &parameters).map_err(Error::Plan)?;
        Ok(Built { backbone, sites, parameters })
    }
}

/// The part of a plan that backbones ask, with a note of what they asked for.
#[derive(Debug)]
pub(crate) struct Recorder<'p> {
    pub(crate) plan: &'p dyn Plan,
    /// In a cell, since layers ask one plan through shared references.
    pub(crate) sites: RefCell<Vec<Site>>,
}

impl Recorder<'_> {
    fn note(&self, site: &Site) {
        self.sites.borrow_mut().push(site.clone());
    }
}

impl Plan for Recorder<'_> {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        self.note(site);
        Ok(quantizable(self.plan.projection(scope, site)?, scope))
    }

    fn gate(&self, scope: &Scope, fc1: &Site) -> TensorResult<Option<Box<dyn Gate>>> {
        self.plan.gate(scope, fc1)
    }

    fn parallel(&self, scope: &Scope, mlp: &Site) -> TensorResult<Option<Box<dyn Parallel>>> {
        self.note(mlp);
        self.plan.parallel(scope, mlp)
    }

    fn prompts(
        &self,
        scope: &Scope,
        block: &Site,
        patch: [i64; 2],
    ) -> TensorResult<Option<Box<dyn Prompts>>> {
        self.note(block);
        self.plan.prompts(scope, block, patch)
    }

    fn task_prompts(
        &self,
        scope: &Scope,
        block: &Site,
    ) -> TensorResult<Option<Box<dyn TaskPrompts>>> {
        self.plan.task_prompts(scope, block)
    }

    fn neck(&self, scope: &Scope, channels: &[i64]) -> TensorResult<Option<Box<dyn Neck>>> {
        self.plan.neck(scope, channels)
    }

    fn pyramid(&self) -> Pyramid {
        self.plan.pyramid()
    }

    fn keeps_streams(&self) -> bool {
        self.plan.keeps_streams()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, NoAdapter, ParameterKind, ParameterKinds, Store};

    /// What timm's names say of a parameter.
    fn kinds_of(name: &str) -> ParameterKinds {
        let kinds = [
            (name.ends_with(".bias"), ParameterKind::Bias),
            (name.contains("norm"), ParameterKind::Norm),
            (name.contains("patch_embed"), ParameterKind::PatchEmbed),
            (name.contains("downsample.reduction"), ParameterKind::PatchMerging),
            (name.ends_with("relative_position_bias_table"), ParameterKind::RelativePositionBias),
        ];
        kinds.into_iter().filter_map(|(holds, kind)| holds.then_some(kind)).collect()
    }

    #[test]
    fn parameters_are_of_the_kinds_that_their_names_say() {
        for name in [
            "swin_micro_patch4_window4_128",
            "vit_micro_patch8_128",
            "vit_little_patch16_reg4_gap_256",
        ] {
            let scope = Store::new(Device::Cpu).root().pp("backbone");
            let config = BackboneConfig::from_name(name).unwrap();
            let built = config.build(&scope, &NoAdapter::Full, Options::default()).unwrap();
            assert!(built.parameters.iter().any(|parameter| !parameter.kinds.is_empty()));
            for parameter in &built.parameters {
                assert_eq!(parameter.kinds, kinds_of(&parameter.name), "{}", parameter.name);
                assert!(parameter.trains && !parameter.adapter && parameter.owner.is_none());
            }
        }
    }

    #[test]
    fn sites_are_noted_in_the_order_of_the_backbone() {
        let scope = Store::new(Device::Cpu).root().pp("backbone");
        let config = BackboneConfig::from_name("vit_micro_patch8_128").unwrap();
        let built = config.build(&scope, &NoAdapter::Frozen, Options::default()).unwrap();
        let first: Vec<&str> = built.sites.iter().map(|site| site.path.as_str()).take(6).collect();
        let mut sorted = first.clone();
        sorted.sort_unstable();
        let expected = ["attn.proj", "attn.qkv", "mlp", "mlp.fc1", "mlp.fc2"];
        let expected = expected.map(|path| format!("blocks.0.{path}"));
        assert_eq!(sorted, [&["blocks.0".to_owned()][..], &expected].concat());
    }
}
