//! InterroGate: gates choose, channel by channel, what a task shares (arXiv 2402.16848), here over
//! low-rank adapters of a frozen trunk.
//!
//! ```text
//! psi  = (W + s B A) x_shared + b,   phi_t = (W + s B_t A_t) x_t + b
//! x_t' = G_t phi_t + (1 - G_t) psi,  G_t = 1[sigmoid(alpha_t) >= 0.5]
//! x_shared' = sum_t softmax_t(beta) x_t'
//! L = L_tasks + lambda mean_t max(0, mean sigmoid(alpha_t) - tau_t)
//! ```
//!
//! `alpha_t` and `beta_t` are `[out]`: one number for every channel. Gates are 0 or 1 in all passes,
//! and `alpha` gets the gradient of its sigmoid. `tau` is the part of the channels that a task may
//! have for itself, mean over all layers; less is free. `alpha` is `alpha_lr_scale` times a parameter.
//! From `harden_at` of the run gates are constants; from 0 on, those of the run that it begins with.
//! The paper trains two whole networks; what is trained here are factors beside one.
//!
//! All tasks have streams through the whole trunk, beside the one that they share.

mod config;
mod gate;
mod linear;
mod merge;
mod pruned;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use polyptych_registry::{DynPart, Part};
use polyptych_tensor::{
    Error as TensorError, Init, Kind, Linear, Plain, Plan, Projection, Result as TensorResult,
    Scope, Site, SiteKind, Tensor, Tensors, no_grad,
};

pub use config::InterroGateConfig;
use gate::{Gates, excess};
use linear::{InterroLinear, TaskMaps};
use merge::merge_layer;
use pruned::{GROUP, PrunedLinear, Rows};

use crate::blocks::low_rank::{LowRank, LowRankInit};
use crate::blocks::reweight::TaskWeights;
use crate::blocks::tensors::copy;
use crate::error::Result;
use crate::method::{Form, Method, Pruned};

impl Part for InterroGateConfig {
    const NAME: &'static str = "interrogate";
    const SUMMARY: &'static str = "gates that choose, channel by channel, what a task shares";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for InterroGateConfig {
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        let (config, tasks) = (self.clone(), tasks.to_vec());
        let (hardened, alphas, counted) = (Rc::default(), RefCell::default(), Rc::default());
        Ok(Rc::new(InterroGate { config, tasks, form, hardened, alphas, counted }))
    }

    fn pruned(&self, tasks: &[String], tensors: &Tensors) -> Option<Result<Pruned>> {
        let pruned = |(pruned, tensors): (BTreeMap<String, Rows>, Tensors)| {
            let settings = Self { pruned, ..self.clone() }.to_value();
            Pruned { settings, tensors }
        };
        Some(pruned::prune(tasks, tensors).map(pruned).map_err(Into::into))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*interro_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }
}

#[derive(Debug)]
struct InterroGate {
    config: InterroGateConfig,
    tasks: Vec<String>,
    form: Form,
    /// Whether gates are constants.
    hardened: Rc<Cell<bool>>,
    /// Parameters of `alpha` of every task in every layer, by the layer's name.
    alphas: RefCell<Vec<(String, Vec<Tensor>)>>,
    /// Multiply-adds of merged layers.
    counted: Rc<Cell<u64>>,
}

impl InterroGate {
    fn is_adapted(site: &Site) -> bool {
        site.is_projection() && site.kind != SiteKind::Reduction
    }

    /// A number for every channel of every task that `alpha` is `alpha_lr_scale` times of: parameters,
    /// or buffers where no step moves gates.
    fn alpha(&self, scope: &Scope, out: i64) -> TensorResult<Vec<Tensor>> {
        let InterroGateConfig { alpha_init, alpha_std, alpha_lr_scale, .. } = self.config;
        let (scope, init) = (scope.pp("interro_alpha"), Init::Normal(alpha_std / alpha_lr_scale));
        let make = |task: &String| match self.config.harden_at > 0.0 {
            true => scope.param(task, &[out], init),
            false => scope.buffer(task, &[out], init),
        };
        let alpha = self.tasks.iter().map(make).collect::<TensorResult<Vec<_>>>()?;
        for alpha in &alpha {
            let mean = alpha_init / alpha_lr_scale;
            let _ = no_grad(|| alpha.shallow_clone().g_add_scalar_(mean));
        }
        Ok(alpha)
    }

    /// One parameter for every task.
    fn by_task(
        &self,
        scope: &Scope,
        name: &str,
        out: i64,
        init: Init,
    ) -> TensorResult<Vec<Tensor>> {
        let scope = scope.pp(name);
        self.tasks.iter().map(|task| scope.param(task, &[out], init)).collect()
    }

    fn gates(&self, scope: &Scope, site: &Site) -> TensorResult<Gates> {
        let (out, shares) = (site.out_features, Self::has_shares(site));
        let zeros = |name: &str| self.by_task(scope, name, out, Init::ZEROS);
        if self.form == Form::Merged {
            let open = zeros("interro_gate")?;
            let shares = shares.then(|| zeros("interro_share")).transpose()?;
            return Ok(Gates::Merged { open, shares });
        }
        let alpha = self.alpha(scope, out)?;
        let own = alpha.iter().map(Tensor::shallow_clone).collect();
        self.alphas.borrow_mut().push((site.path.clone(), own));
        let beta = shares.then(|| zeros("interro_beta")).transpose()?;
        let (hardened, alpha_lr_scale) = (self.hardened.clone(), self.config.alpha_lr_scale);
        Ok(Gates::Trained { alpha, alpha_lr_scale, beta, hardened })
    }

    /// The layer that is left at `site`.
    fn pruned(&self, scope: &Scope, site: &Site, rows: &Rows) -> TensorResult<Box<dyn Projection>> {
        if self.form == Form::Adapted {
            return Err(TensorError::Config {
                key: "pruned".into(),
                expected: "none in a recipe that trains: what is pruned is a merged model".into(),
                found: format!("{} layers", self.config.pruned.len()),
            });
        }
        let gates = self.gates(&scope.adapter(), site)?;
        let counted = self.counted.clone();
        Ok(Box::new(PrunedLinear::new(scope, site, &self.tasks, (rows, gates), counted)?))
    }

    /// Whether anybody reads the shared stream behind `site`: it ends in the very last block.
    fn has_shares(site: &Site) -> bool {
        !(site.last_stage && site.last_in_stage && site.kind == SiteKind::Fc2)
    }

    fn factors(&self, scope: &Scope, site: &Site) -> TensorResult<(LowRank, Vec<LowRank>)> {
        let (width, out) = (site.in_features, site.out_features);
        let pair = |names: (&str, &str), r| {
            LowRank::new(scope, names, [width, out, r], LowRankInit::Identity)
        };
        let shared = pair(("interro_shared_A", "interro_shared_B"), self.config.r)?;
        let own = |task: &String| {
            let names = (format!("interro_A.{task}"), format!("interro_B.{task}"));
            pair((&names.0, &names.1), self.config.task_r)
        };
        Ok((shared, self.tasks.iter().map(own).collect::<TensorResult<_>>()?))
    }
}

impl Plan for InterroGate {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let plain = || Linear::new(scope, site.in_features, site.out_features, site.bias);
        if !Self::is_adapted(site) {
            return Ok(Box::new(Plain(plain()?)));
        }
        if let Some(rows) = self.config.pruned.get(&site.path) {
            return self.pruned(scope, site, rows);
        }
        let base = plain()?;
        let (scope, scale) = (&scope.adapter(), self.config.scale);
        let gates = self.gates(scope, site)?;
        let maps = match self.form {
            Form::Merged => TaskMaps::Merged(TaskWeights::new(scope, GROUP, site, &self.tasks)?),
            Form::Adapted => {
                let (shared, tasks) = self.factors(scope, site)?;
                TaskMaps::Factors { shared, tasks, scale }
            }
        };
        let counted = self.counted.clone();
        Ok(Box::new(InterroLinear { base, maps, gates, counted }))
    }

    fn keeps_streams(&self) -> bool {
        true
    }

    fn taken(&self) -> Option<Vec<(String, Vec<f64>)>> {
        let share =
            |alpha: &Tensor| no_grad(|| gate::hard(alpha).mean(Kind::Double).double_value(&[]));
        let alphas = self.alphas.borrow();
        let layers =
            alphas.iter().map(|(path, own)| (path.clone(), own.iter().map(share).collect()));
        (!alphas.is_empty()).then(|| layers.collect())
    }

    fn multiply_adds(&self) -> Option<u64> {
        Some(self.counted.take())
    }

    fn set_progress(&self, step: u64, steps: u64) {
        self.hardened.set(step as f64 >= self.config.harden_at * steps as f64);
    }

    fn penalty(&self) -> Option<Tensor> {
        let (layers, lambda) = (self.alphas.borrow(), self.config.lambda);
        if lambda == 0.0 || self.hardened.get() || layers.is_empty() {
            return None;
        }
        let excess = |(index, task): (usize, &String)| {
            let own: Vec<&Tensor> = layers.iter().map(|(_, layer)| &layer[index]).collect();
            excess(&own, self.config.alpha_lr_scale, self.config.tau(task))
        };
        let terms: Vec<Tensor> = self.tasks.iter().enumerate().map(excess).collect();
        Some(Tensor::stack(&terms, 0).mean(None::<Kind>) * lambda)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        for site in sites.iter().filter(|site| Self::is_adapted(site)) {
            let has_shares = Self::has_shares(site);
            merge_layer(&mut merged, &site.path, &self.tasks, (self.config.scale, has_shares))?;
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
            let config: InterroGateConfig = serde_json::from_value(fields).unwrap();
            config.plan(&["sal".to_owned()], Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"task_r": 0}), "task_r: expected at least 1, found 0"),
            (json!({"alpha_std": -1.0}), "alpha_std: expected at least 0, found -1"),
            (json!({"tau": 0.0}), "tau: expected above 0 and at most 1, found 0"),
            (json!({"harden_at": 2.0}), "harden_at: expected at least 0 and at most 1, found 2"),
            (json!({"alpha_lr_scale": 0.0}), "alpha_lr_scale: expected a positive number, found 0"),
            (
                json!({"tau_per_task": {"sal": 0.0}}),
                "tau_per_task.sal: expected above 0 and at most 1, found 0",
            ),
            (
                json!({"tau_per_task": {"edge": 0.5}}),
                "tau_per_task: expected one of the tasks sal, found edge",
            ),
        ] {
            assert_eq!(message(fields), expected);
        }
    }
}
