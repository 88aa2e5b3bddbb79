//! A composition of three published parts, which differ in where they act: ranks that shrink
//! ([PDRS](super::pdrs)) in what tasks share, one base that a frequency switches to every task
//! ([Free Sinewich](super::free_sinewich)) where streams part, and filters of tasks on the levels'
//! spectra ([TS-PD](super::ts_pd)) in front of the heads.
//!
//! ```text
//! fc1, fc2 of the last block of a stage    y_t = (W + M_t) x_t + b
//! all other projections                    y = W' x + b,  W' = m (W + s B A) / |W + s B A|, ranks shrink
//! levels                                   filters of tasks, and spectra of other tasks
//! ```
//!
//! The composition is ours. A switched base cannot have its rank shrunk, as the sine of a sum of
//! components is no sum over them, so the two keep to different layers. All but `spectra` merges.
//! Balancing is chosen beside it, as `balancer` of a recipe.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Neck, Parameter, ParameterKinds, Plan, Projection, Pyramid, Result as TensorResult, Scope,
    Site, Tensor, Tensors,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::free_sinewich::{FreeSinewichConfig, is_switched};
use super::pdrs::{PdrsConfig, PdrsForm};
use super::ts_pd::TsPdConfig;
use crate::error::Result;
use crate::method::{Form, Method};

/// Configuration of the composition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PdrsSinewichConfig {
    /// What tasks share: all projections that are not switched.
    pub shared: PdrsConfig,
    /// What is switched, and what of the backbone's own trains.
    pub switched: FreeSinewichConfig,
    /// Filters of tasks on the levels, `{}` with their defaults; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spectra: Option<TsPdConfig>,
}

impl Default for PdrsSinewichConfig {
    fn default() -> Self {
        let shared = PdrsConfig { r: 32, form: PdrsForm::Dora, ..PdrsConfig::default() };
        let switched = FreeSinewichConfig { r: 32, ..FreeSinewichConfig::default() };
        Self { shared, switched, spectra: None }
    }
}

impl Part for PdrsSinewichConfig {
    const NAME: &'static str = "pdrs_sinewich";
    const SUMMARY: &'static str =
        "shrinking ranks for all tasks, a switched base and spectral filters for each";

    fn example() -> Self {
        Self {
            shared: PdrsConfig { form: PdrsForm::Dora, ..PdrsConfig::example() },
            switched: FreeSinewichConfig::example(),
            spectra: Some(TsPdConfig::example()),
        }
    }
}

impl Method for PdrsSinewichConfig {
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        if let Some(spectra) = &self.spectra {
            spectra.validate(tasks)?;
        }
        Ok(Rc::new(PdrsSinewich {
            shared: self.shared.plan(tasks, form)?,
            switched: self.switched.plan(tasks, form)?,
            spectra: self.spectra.clone(),
            tasks: tasks.to_vec(),
        }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*pdrs_*", "*sine_*", "*tspd_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        self.switched.not_per_task()
    }
}

#[derive(Debug)]
struct PdrsSinewich {
    shared: Rc<dyn Plan>,
    switched: Rc<dyn Plan>,
    spectra: Option<TsPdConfig>,
    tasks: Vec<String>,
}

/// The sites that are shared, and those that are switched.
fn parted(sites: &[Site]) -> (Vec<Site>, Vec<Site>) {
    sites.iter().cloned().partition(|site| !is_switched(site))
}

impl Plan for PdrsSinewich {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let plan = if is_switched(site) { &self.switched } else { &self.shared };
        plan.projection(scope, site)
    }

    fn neck(&self, scope: &Scope, channels: &[i64]) -> TensorResult<Option<Box<dyn Neck>>> {
        let spectra = self.spectra.as_ref();
        spectra.map(|spectra| spectra.neck(&scope.adapter(), channels, &self.tasks)).transpose()
    }

    fn pyramid(&self) -> Pyramid {
        self.switched.pyramid()
    }

    fn trains(&self, kinds: &ParameterKinds) -> bool {
        self.switched.trains(kinds)
    }

    fn set_progress(&self, step: u64, steps: u64) {
        self.shared.set_progress(step, steps);
    }

    fn before_step(&self) {
        self.shared.before_step();
    }

    fn penalty(&self) -> Option<Tensor> {
        self.shared.penalty()
    }

    fn check(&self, sites: &[Site], parameters: &[Parameter]) -> TensorResult<()> {
        let (shared, switched) = parted(sites);
        self.shared.check(&shared, parameters)?;
        self.switched.check(&switched, parameters)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let (shared, switched) = parted(sites);
        self.switched.merge(&switched, &self.shared.merge(&shared, tensors)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn fields_of_the_parts_are_checked() {
        let message = |fields: Value| {
            let config: PdrsSinewichConfig = serde_json::from_value(fields).unwrap();
            config.plan(&["sal".to_owned()], Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"shared": {"r": 0}}), "r: expected at least 1, found 0"),
            (json!({"switched": {"token_dim": 0}}), "token_dim: expected at least 1, found 0"),
            (json!({"spectra": {"bins": 0}}), "bins: expected at least 1, found 0"),
        ] {
            assert_eq!(message(fields), expected);
        }
    }
}
