//! PDRS: low-rank factors whose ranks shrink in training, the trunk's part of FAAR (CVPR 2026, arXiv
//! 2603.20403).
//!
//! ```text
//! lora            W' = W + s B A
//! dora            W' = m (W + s B A) / |W + s B A|                   m = |W| + theta
//! anchored_dora   W' = m (W / |W| + s B A) / |W / |W| + s B A|       m = |W| exp(0.1 theta)
//! ```
//!
//! Lengths are of rows. That of DoRA's sum passes no gradient, that of the anchored form does.
//! `theta` is `[out]` and starts at zero, so that every form starts as the plain backbone.
//! [`RankShrinking`] says which of the `r` components of `B A` are in use. It merges.
//!
//! [FAAR](super::faar) has factors of tasks in the last block of every stage and filters on the
//! levels beside this.

mod linear;

use std::cell::RefCell;
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Kind, Linear, Parameter, Plain, Plan, Projection, Result as TensorResult, Scope, Site, Tensor,
    Tensors,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(in crate::methods) use linear::Adapted;
pub use linear::PdrsForm;
use linear::PdrsLinear;

use crate::blocks::slots::RankShrinking;
use crate::blocks::targets::{TargetModules, Targets};
use crate::blocks::tensors::{copy, take, widened};
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Configuration of PDRS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PdrsConfig {
    /// Rank at the start.
    pub r: i64,
    /// `s`, not divided by the rank.
    pub scale: f64,
    /// What the factors change.
    pub form: PdrsForm,
    /// Weight of the mean of `(m / |W| - 1)^2` of every layer in the loss of `anchored_dora`; 0 for
    /// none.
    pub anchor: f64,
    /// When and how far ranks shrink.
    pub rank_shrinking: RankShrinking,
    /// Which projections carry factors; parts of a fused `qkv` have none of their own.
    pub target_modules: TargetModules,
}

impl Default for PdrsConfig {
    fn default() -> Self {
        Self {
            r: 64,
            scale: 4.0,
            form: PdrsForm::AnchoredDora,
            anchor: 1e-4,
            rank_shrinking: RankShrinking::default(),
            target_modules: TargetModules::Names(
                ["qkv", "proj", "fc1", "fc2"].map(str::to_owned).to_vec(),
            ),
        }
    }
}

impl PdrsConfig {
    pub(super) fn validate(&self) -> Result<()> {
        if self.r < 1 {
            return Err(config("r", "at least 1", self.r));
        }
        if !self.scale.is_finite() {
            return Err(config("scale", "a finite number", self.scale));
        }
        if !(self.anchor >= 0.0 && self.anchor.is_finite()) {
            return Err(config("anchor", "at least 0", self.anchor));
        }
        self.rank_shrinking.validate(self.r)?;
        self.target_modules.validate()
    }
}

impl Part for PdrsConfig {
    const NAME: &'static str = "pdrs";
    const SUMMARY: &'static str = "low-rank factors whose ranks shrink in training (FAAR)";

    fn example() -> Self {
        Self { r: 4, ..Self::default() }
    }
}

impl Method for PdrsConfig {
    fn plan(&self, _tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate()?;
        let targets = Targets::new(&self.target_modules)?;
        Ok(Rc::new(Pdrs { config: self.clone(), form, targets, built: Built::default() }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*pdrs_*"]
    }
}

#[derive(Debug)]
struct Pdrs {
    config: PdrsConfig,
    form: Form,
    targets: Targets,
    built: Built,
}

/// What a plan has made, whose ranks shrink together.
#[derive(Debug, Default)]
pub(super) struct Built(RefCell<Vec<Rc<Adapted>>>);

impl Built {
    /// Makes the parameters of `site` with `r` components.
    pub(super) fn make(
        &self,
        scope: &Scope,
        site: &Site,
        r: i64,
        config: &PdrsConfig,
    ) -> TensorResult<Rc<Adapted>> {
        let adapted = Rc::new(Adapted::new(scope, site, r, config.form, config.scale)?);
        self.0.borrow_mut().push(adapted.clone());
        Ok(adapted)
    }

    pub(super) fn shrink(&self, config: &PdrsConfig, step: u64, steps: u64) {
        let shrinking = &config.rank_shrinking;
        let due = shrinking.due(step, steps);
        self.0.borrow().iter().for_each(|at| at.slots.shrink_to(shrinking, due));
    }

    pub(super) fn note(&self, config: &PdrsConfig) {
        let beta = config.rank_shrinking.beta;
        self.0.borrow().iter().for_each(|at| at.slots.note(&at.factors, beta));
    }

    /// `anchor` times the mean of `(m / |W| - 1)^2` of every layer.
    pub(super) fn penalty(&self, config: &PdrsConfig) -> Option<Tensor> {
        if config.anchor == 0.0 || config.form != PdrsForm::AnchoredDora {
            return None;
        }
        let built = self.0.borrow();
        let thetas = built.iter().filter_map(|at| at.theta.as_ref());
        let terms = thetas.map(|theta| (linear::stretch(theta) - 1.0).square().mean(Kind::Float));
        terms.reduce(|sum, term| sum + term).map(|sum| sum * config.anchor)
    }
}

impl Plan for Pdrs {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if !self.targets.adapts(site) || self.form == Form::Merged {
            return Ok(Box::new(Plain(base)));
        }
        let PdrsConfig { r, .. } = self.config;
        let adapted = self.built.make(&scope.adapter(), site, r, &self.config)?;
        Ok(Box::new(PdrsLinear { base, adapted }))
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        self.targets.check(sites.iter().any(|site| self.targets.adapts(site)))
    }

    fn set_progress(&self, step: u64, steps: u64) {
        self.built.shrink(&self.config, step, steps);
    }

    fn before_step(&self) {
        self.built.note(&self.config);
    }

    fn penalty(&self) -> Option<Tensor> {
        self.built.penalty(&self.config)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        for site in sites.iter().filter(|site| self.targets.adapts(site)) {
            let path = &site.path;
            let mut own = |name: &str| take(&mut merged, &format!("{path}.{name}"));
            let weight = widened(&own("weight")?);
            let adapted = Adapted::taken(own, self.config.form, self.config.scale)?;
            merged.insert(format!("{path}.weight"), adapted.weight(&weight, false));
        }
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value| {
            let config: PdrsConfig = serde_json::from_value(fields).unwrap();
            config.plan(&[], Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"r": 0}), "r: expected at least 1, found 0"),
            (json!({"anchor": -1.0}), "anchor: expected at least 0, found -1"),
            (
                json!({"rank_shrinking": {"rho": 0.0}}),
                "rank_shrinking.rho: expected above 0 and at most 1, found 0",
            ),
            (
                json!({"rank_shrinking": {"beta": 1.0}}),
                "rank_shrinking.beta: expected at least 0 and below 1, found 1",
            ),
            (
                json!({"r": 4, "rank_shrinking": {"floor": 5}}),
                "rank_shrinking.floor: expected from 1 to r, 4, found 5",
            ),
            (
                json!({"rank_shrinking": {"shrinks": 0}}),
                "rank_shrinking.shrinks: expected at least 1, found 0",
            ),
        ] {
            assert_eq!(message(fields), expected);
        }
    }
}
