//! ASE: adaptive shared experts (arXiv 2510.00570).
//!
//! ```text
//! y_t = W x_t + sum_{i in T} g_i B_i A_i u_t + sum_s g_s B_s A_s u_t        u_t = x_t + e_t
//! z = R_t u_t,   T = TopK(z without the shared experts),   g = softmax over T and the shared experts
//! ```
//!
//! Low-rank experts stand beside `fc1` and `fc2` of every block. Some of them are shared: they are
//! active in any case, and their weights come from one softmax with those that were chosen, which is
//! the point of the paper. All tasks have the same experts, and each has a router of its own per
//! layer. `qkv` and `proj` have plain low-rank factors.
//!
//! The loss has a term, minus the mutual information of tasks and experts, whose gradient moves
//! routers alone. Streams of tasks run through the whole trunk from the first MLP on.

mod linear;
mod routing;

use std::cell::RefCell;
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Init, Linear, Plain, Plan, Projection, Result as TensorResult, Scope, Site, SiteKind, Tensor,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use linear::{AseLinear, LoraLinear};
use routing::{Routers, mutual_information};

use crate::blocks::low_rank::{LowRank, LowRankInit};
use crate::blocks::tasks::check_tasks;
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Configuration of ASE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AseConfig {
    /// `N`: all experts of a layer, those that are shared among them.
    pub num_experts: i64,
    /// `S`: experts that are always active.
    pub shared_experts: i64,
    /// How many of the others are active for a token.
    pub k_sparse: i64,
    /// Rank of an expert.
    pub r: i64,
    /// Rank of the factors beside `qkv` and `proj`; 0 for none.
    pub lora_r: i64,
    /// Factor on all low-rank terms, not divided by the rank.
    pub scale: f64,
    /// Weight of minus the mutual information of tasks and experts; 0 for none.
    pub lambda: f64,
}

impl Default for AseConfig {
    fn default() -> Self {
        Self {
            num_experts: 16,
            shared_experts: 1,
            k_sparse: 2,
            r: 4,
            lora_r: 4,
            scale: 1.0,
            lambda: 1e-3,
        }
    }
}

impl AseConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        let (shared, sparse) = (self.shared_experts, self.num_experts - self.shared_experts);
        for (key, value, least, most) in [
            ("r", self.r, 1, i64::MAX),
            ("lora_r", self.lora_r, 0, i64::MAX),
            ("shared_experts", shared, 0, self.num_experts - 1),
            ("k_sparse", self.k_sparse, 1, sparse),
        ] {
            if value < least || value > most {
                let expected = match most {
                    i64::MAX => format!("at least {least}"),
                    _ => format!("from {least} to {most}, with {} experts", self.num_experts),
                };
                return Err(config(key, expected, value));
            }
        }
        if !self.scale.is_finite() {
            return Err(config("scale", "a finite number", self.scale));
        }
        match self.lambda >= 0.0 && self.lambda.is_finite() {
            true => Ok(()),
            false => Err(config("lambda", "at least 0", self.lambda)),
        }
    }
}

impl Part for AseConfig {
    const NAME: &'static str = "ase";
    const SUMMARY: &'static str = "routed low-rank experts, some shared, under one softmax";

    fn example() -> Self {
        Self { num_experts: 4, ..Self::default() }
    }
}

impl Method for AseConfig {
    fn plan(&self, tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        let (config, tasks) = (self.clone(), tasks.to_vec());
        Ok(Rc::new(Ase { config, tasks, built: RefCell::default() }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*ase_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }
}

#[derive(Debug)]
struct Ase {
    config: AseConfig,
    tasks: Vec<String>,
    built: RefCell<Vec<Rc<Routers>>>,
}

impl Ase {
    fn routers(&self, scope: &Scope, width: i64) -> TensorResult<Rc<Routers>> {
        let AseConfig { num_experts, shared_experts, k_sparse, .. } = self.config;
        let by_task = |name: &str, shape: &[i64], init| {
            let scope = scope.pp(name);
            let one = |task: &String| scope.param(task, shape, init);
            self.tasks.iter().map(one).collect::<TensorResult<Vec<_>>>()
        };
        let routers = Rc::new(Routers {
            weights: by_task("ase_router", &[num_experts, width], Init::fan_in(width))?,
            tokens: by_task("ase_token", &[width], Init::ZEROS)?,
            shared: shared_experts,
            active: k_sparse,
            read: RefCell::default(),
        });
        self.built.borrow_mut().push(routers.clone());
        Ok(routers)
    }

    fn experts(&self, scope: &Scope, site: &Site, base: Linear) -> TensorResult<AseLinear> {
        let AseConfig { num_experts: n, r, scale, .. } = self.config;
        let (width, out) = (site.in_features, site.out_features);
        Ok(AseLinear {
            base,
            a: scope.param("ase_A", &[n, r, width], Init::fan_in(width))?,
            b: scope.param("ase_B", &[n, out, r], Init::ZEROS)?,
            routers: self.routers(scope, width)?,
            scale,
        })
    }

    fn lora(&self, scope: &Scope, site: &Site, base: Linear) -> TensorResult<LoraLinear> {
        let shape = [site.in_features, site.out_features, self.config.lora_r];
        let names = ("ase_lora_A", "ase_lora_B");
        let factors = LowRank::new(scope, names, shape, LowRankInit::Identity)?;
        Ok(LoraLinear { base, factors, scale: self.config.scale })
    }
}

impl Plan for Ase {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        let own = scope.adapter();
        Ok(match site.kind {
            SiteKind::Fc1 | SiteKind::Fc2 => Box::new(self.experts(&own, site, base)?),
            SiteKind::Qkv | SiteKind::Proj if self.config.lora_r > 0 => {
                Box::new(self.lora(&own, site, base)?)
            }
            _ => Box::new(Plain(base)),
        })
    }

    fn keeps_streams(&self) -> bool {
        true
    }

    fn unmergeable(&self) -> Option<String> {
        Some("routers read every token, and no weight can hold what they choose".into())
    }

    fn penalty(&self) -> Option<Tensor> {
        let (built, lambda) = (self.built.borrow(), self.config.lambda);
        let read = built.iter().filter_map(|routers| routers.loads());
        let terms = read.map(|loads| mutual_information(&loads) * -lambda);
        terms.reduce(|sum, term| sum + term).filter(|_| lambda > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value| {
            let config: AseConfig = serde_json::from_value(fields).unwrap();
            config.plan(&["sal".to_owned()], Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"r": 0}), "r: expected at least 1, found 0"),
            (json!({"lora_r": -1}), "lora_r: expected at least 0, found -1"),
            (
                json!({"shared_experts": 16}),
                "shared_experts: expected from 0 to 15, with 16 experts, found 16",
            ),
            (json!({"k_sparse": 16}), "k_sparse: expected from 1 to 15, with 16 experts, found 16"),
            (json!({"k_sparse": 0}), "k_sparse: expected from 1 to 15, with 16 experts, found 0"),
            (json!({"lambda": -1.0}), "lambda: expected at least 0, found -1"),
        ] {
            assert_eq!(message(fields), expected);
        }
    }
}
