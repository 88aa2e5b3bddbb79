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
//! have for itself, mean over all layers; less is free. From `harden_at` of the run gates are
//! constants. The paper trains two whole networks; what is trained here are factors beside one.
//!
//! All tasks have streams through the whole trunk, beside the one that they share.

mod gate;
mod linear;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Init, Kind, Linear, Plain, Plan, Projection, Result as TensorResult, Scope, Site, SiteKind,
    Tensor, Tensors, no_grad,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use gate::{Gates, excess};
use linear::{InterroLinear, TaskMaps};

use crate::blocks::low_rank::{LowRank, LowRankInit};
use crate::blocks::reweight::TaskWeights;
use crate::blocks::tasks::check_tasks;
use crate::blocks::tensors::{copy, take, widened};
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Where merged weights of tasks lie.
const GROUP: &str = "interro_tasks";

/// Configuration of InterroGate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InterroGateConfig {
    /// Rank of the shared factors.
    pub r: i64,
    /// Rank of every task's factors.
    pub task_r: i64,
    /// `s`, not divided by the rank.
    pub scale: f64,
    /// Mean of the first values of `alpha`.
    pub alpha_init: f64,
    /// Their standard deviation. At 0 all channels would start as the tasks' own, and the shared
    /// factors would learn nothing until gates close.
    pub alpha_std: f64,
    /// `tau`: what part of its channels a task may have for itself.
    pub tau: f64,
    /// `tau` of single tasks.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tau_per_task: BTreeMap<String, f64>,
    /// Weight of what exceeds `tau`, 0 for no budget.
    pub lambda: f64,
    /// What part of the run is done when gates become constants; 1 for never.
    pub harden_at: f64,
}

impl Default for InterroGateConfig {
    fn default() -> Self {
        Self {
            r: 4,
            task_r: 4,
            scale: 1.0,
            alpha_init: 1.0,
            alpha_std: 1.0,
            tau: 0.5,
            tau_per_task: BTreeMap::new(),
            lambda: 1.0,
            harden_at: 0.75,
        }
    }
}

impl InterroGateConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        for (key, extent) in [("r", self.r), ("task_r", self.task_r)] {
            if extent < 1 {
                return Err(config(key, "at least 1", extent));
            }
        }
        for (key, value) in [("scale", self.scale), ("alpha_init", self.alpha_init)] {
            if !value.is_finite() {
                return Err(config(key, "a finite number", value));
            }
        }
        for (key, value) in [("alpha_std", self.alpha_std), ("lambda", self.lambda)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(config(key, "at least 0", value));
            }
        }
        if let Some(name) = self.tau_per_task.keys().find(|name| !tasks.contains(name)) {
            let expected = format!("one of the tasks {}", tasks.join(", "));
            return Err(config("tau_per_task", expected, name));
        }
        let budgets =
            self.tau_per_task.iter().map(|(task, tau)| (format!("tau_per_task.{task}"), *tau));
        let parts = [("tau".to_owned(), self.tau), ("harden_at".to_owned(), self.harden_at)];
        match budgets.chain(parts).find(|(_, part)| !(*part > 0.0 && *part <= 1.0)) {
            Some((key, part)) => Err(config(key, "above 0 and at most 1", part)),
            None => Ok(()),
        }
    }

    fn tau(&self, task: &str) -> f64 {
        self.tau_per_task.get(task).copied().unwrap_or(self.tau)
    }
}

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
        let (hardened, alphas) = (Rc::default(), RefCell::default());
        Ok(Rc::new(InterroGate { config, tasks, form, hardened, alphas }))
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
    /// `alpha` of every task in every layer.
    alphas: RefCell<Vec<Vec<Tensor>>>,
}

impl InterroGate {
    fn is_adapted(site: &Site) -> bool {
        matches!(site.kind, SiteKind::Qkv | SiteKind::Proj | SiteKind::Fc1 | SiteKind::Fc2)
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
        let InterroGateConfig { alpha_init, alpha_std, .. } = self.config;
        let alpha = self.by_task(scope, "interro_alpha", out, Init::Normal(alpha_std))?;
        for alpha in &alpha {
            let _ = no_grad(|| alpha.shallow_clone().g_add_scalar_(alpha_init));
        }
        self.alphas.borrow_mut().push(alpha.iter().map(Tensor::shallow_clone).collect());
        let beta = shares.then(|| zeros("interro_beta")).transpose()?;
        Ok(Gates::Trained { alpha, beta, hardened: self.hardened.clone() })
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
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if !Self::is_adapted(site) {
            return Ok(Box::new(Plain(base)));
        }
        let (scope, scale) = (&scope.adapter(), self.config.scale);
        let gates = self.gates(scope, site)?;
        let maps = match self.form {
            Form::Merged => TaskMaps::Merged(TaskWeights::new(scope, GROUP, site, &self.tasks)?),
            Form::Adapted => {
                let (shared, tasks) = self.factors(scope, site)?;
                TaskMaps::Factors { shared, tasks, scale }
            }
        };
        Ok(Box::new(InterroLinear { base, maps, gates }))
    }

    fn keeps_streams(&self) -> bool {
        true
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
            let own: Vec<&Tensor> = layers.iter().map(|layer| &layer[index]).collect();
            excess(&own, self.config.tau(task))
        };
        let terms: Vec<Tensor> = self.tasks.iter().enumerate().map(excess).collect();
        Some(Tensor::stack(&terms, 0).mean(None::<Kind>) * lambda)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        for site in sites.iter().filter(|site| Self::is_adapted(site)) {
            self.merge_layer(&mut merged, site)?;
        }
        Ok(merged)
    }
}

impl InterroGate {
    fn merge_layer(&self, tensors: &mut Tensors, site: &Site) -> TensorResult<()> {
        let (path, scale) = (&site.path, self.config.scale);
        let mut own = |name: &str| take(tensors, &format!("{path}.{name}"));
        let weight = widened(&own("weight")?);
        let pair = |a, b: Tensor| b.matmul(&a) * scale;
        let shared = pair(own("interro_shared_A")?, own("interro_shared_B")?);
        let mut of_tasks = |name: &str| {
            let all = self.tasks.iter().map(|task| own(&format!("{name}.{task}")));
            all.collect::<TensorResult<Vec<_>>>()
        };
        let (a, b) = (of_tasks("interro_A")?, of_tasks("interro_B")?);
        let gates: Vec<Tensor> = of_tasks("interro_alpha")?.iter().map(gate::hard).collect();
        let beta = Self::has_shares(site).then(|| of_tasks("interro_beta")).transpose()?;
        let shares = beta.map(|beta| gate::softmax(&beta));
        for (index, (task, gate)) in self.tasks.iter().zip(&gates).enumerate() {
            // A channel that is shared needs no row of the task's own.
            let rows = (&weight + pair(a[index].shallow_clone(), b[index].shallow_clone()))
                * gate.unsqueeze(1);
            tensors.insert(format!("{path}.{GROUP}.{task}.weight"), rows);
            tensors.insert(format!("{path}.interro_gate.{task}"), gate.shallow_clone());
            let share = shares.as_ref().map(|all| all.get(index as i64).contiguous());
            tensors.extend(share.map(|share| (format!("{path}.interro_share.{task}"), share)));
        }
        tensors.insert(format!("{path}.weight"), weight + shared);
        Ok(())
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
            (json!({"harden_at": 2.0}), "harden_at: expected above 0 and at most 1, found 2"),
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
