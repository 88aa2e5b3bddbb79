//! SSF: scale and shift features (Lian et al., NeurIPS 2022, arXiv 2210.08823, equation 3).
//!
//! `y = gamma (W x + b) + beta`, one number per output of the linear map at each of `sites`. It
//! merges: `W' = diag(gamma) W` and `b' = gamma b + beta`. Where timm's layer has no bias (the
//! reduction of a Swin, `qkv` of a ViT without `qkv_bias`) the shift has nowhere to go and stays
//! under its own name.
//!
//! The paper also scales and shifts behind every norm and the patch embedding, where a plan has no
//! hook. Behind a norm, whose own weight and bias do the same, `norms` trains those instead: the
//! same functions, with nothing to merge.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Activations, Init, Linear, Parameter, ParameterKind, ParameterKinds, Plain, Plan, Projection,
    Result as TensorResult, Scope, Site, SiteKind, Tensor, Tensors, cast,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::tensors::{copy, take};
use crate::error::{Result, config};
use crate::method::{Form, Method};

const SCALE: &str = "ssf_scale";
const SHIFT: &str = "ssf_shift";

/// A linear map that SSF can stand behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SsfSite {
    /// Query, key and value.
    Qkv,
    /// Output of attention.
    Proj,
    /// First matrix of the MLP.
    Fc1,
    /// Second matrix of the MLP.
    Fc2,
    /// Patch merging of a Swin, which has no bias: the shift stays when the model is merged.
    Reduction,
}

/// Configuration of SSF.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SsfConfig {
    /// Behind which linear maps it stands; by default those of the blocks.
    #[serde(default = "default_sites")]
    pub sites: Vec<SsfSite>,
    /// Whether the norms' own weights and biases train.
    #[serde(default)]
    pub norms: bool,
    /// Standard deviation of the first values around scale 1 and shift 0; published: 0.02. At the
    /// default 0 the model starts as the plain backbone.
    #[serde(default)]
    pub init_std: f64,
}

fn default_sites() -> Vec<SsfSite> {
    vec![SsfSite::Qkv, SsfSite::Proj, SsfSite::Fc1, SsfSite::Fc2]
}

impl Default for SsfConfig {
    fn default() -> Self {
        Self { sites: default_sites(), norms: false, init_std: 0.0 }
    }
}

impl SsfConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        if self.sites.is_empty() {
            return Err(config("sites", "at least one site", "an empty list"));
        }
        match self.init_std.is_finite() && self.init_std >= 0.0 {
            true => Ok(()),
            false => Err(config("init_std", "a finite number of at least 0", self.init_std)),
        }
    }
}

impl Part for SsfConfig {
    const NAME: &'static str = "ssf";
    const SUMMARY: &'static str = "scale and shift behind linear maps";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for SsfConfig {
    fn plan(&self, _tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        Ok(Rc::new(Ssf::new(self.clone(), form)?))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*ssf_*"]
    }
}

/// SSF as a plan. See [`SsfConfig`].
#[derive(Debug)]
pub struct Ssf {
    config: SsfConfig,
    form: Form,
}

impl Ssf {
    /// Checks `config` and makes the plan.
    ///
    /// # Errors
    /// As [`SsfConfig::validate`].
    pub fn new(config: SsfConfig, form: Form) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, form })
    }

    fn stands_at(&self, kind: SiteKind) -> bool {
        let site = match kind {
            SiteKind::Qkv => SsfSite::Qkv,
            SiteKind::Proj => SsfSite::Proj,
            SiteKind::Fc1 => SsfSite::Fc1,
            SiteKind::Fc2 => SsfSite::Fc2,
            SiteKind::Reduction => SsfSite::Reduction,
            // No projection, but the place beside one.
            SiteKind::Mlp | SiteKind::Block => return false,
        };
        self.config.sites.contains(&site)
    }
}

impl Plan for Ssf {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        let merged = self.form == Form::Merged;
        if !self.stands_at(site.kind) || (merged && site.bias) {
            return Ok(Box::new(Plain(base)));
        }
        let std = self.config.init_std;
        let own = scope.adapter();
        let make = |name: &str, mean: Init| {
            let parameter = own.param(name, &[site.out_features], mean)?;
            Ok::<_, polyptych_tensor::Error>(spread(parameter, std))
        };
        let scale = (!merged).then(|| make(SCALE, Init::ONES)).transpose()?;
        Ok(Box::new(SsfLinear { base, scale, shift: make(SHIFT, Init::ZEROS)? }))
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        if self.form == Form::Merged || sites.iter().any(|site| self.stands_at(site.kind)) {
            return Ok(());
        }
        Err(polyptych_tensor::Error::Config {
            key: "sites".into(),
            expected: "a site that the backbone has".into(),
            found: format!("{:?}", self.config.sites).to_lowercase(),
        })
    }

    fn trains(&self, kinds: &ParameterKinds) -> bool {
        self.config.norms && kinds.contains(&ParameterKind::Norm)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        for Site { path, bias, .. } in sites.iter().filter(|site| self.stands_at(site.kind)) {
            let mut get = |name: &str| take(&mut merged, &format!("{path}.{name}"));
            let (scale, weight) = (get(SCALE)?, get("weight")?);
            let shift = get(SHIFT)?;
            let (name, shift) = match bias {
                true => ("bias", get("bias")? * &scale + shift),
                false => (SHIFT, shift),
            };
            merged.insert(format!("{path}.weight"), weight * scale.unsqueeze(1));
            merged.insert(format!("{path}.{name}"), shift);
        }
        Ok(merged)
    }
}

/// `parameter` moved by normal noise of deviation `std`, in place.
fn spread(parameter: Tensor, std: f64) -> Tensor {
    let noise = Init::Normal(std).draw(&parameter.size(), parameter.device());
    let _ = polyptych_tensor::no_grad(|| parameter.shallow_clone().g_add_(&noise));
    parameter
}

#[derive(Debug)]
struct SsfLinear {
    base: Linear,
    /// Part of the weight, once merged.
    scale: Option<Tensor>,
    shift: Tensor,
}

impl Projection for SsfLinear {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        x.map(|t| {
            let y = self.base.forward(t);
            let y = match &self.scale {
                Some(scale) => y * cast(scale, t.kind()),
                None => y,
            };
            y + cast(&self.shift, t.kind())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |config: SsfConfig| config.validate().unwrap_err().to_string();
        assert_eq!(
            message(SsfConfig { sites: vec![], ..SsfConfig::default() }),
            "sites: expected at least one site, found an empty list"
        );
        assert_eq!(
            message(SsfConfig { init_std: -1.0, ..SsfConfig::default() }),
            "init_std: expected a finite number of at least 0, found -1"
        );
    }

    #[test]
    fn sites_that_the_backbone_lacks_are_refused() {
        let config = SsfConfig { sites: vec![SsfSite::Reduction], ..SsfConfig::default() };
        let message =
            Ssf::new(config, Form::Adapted).unwrap().check(&[], &[]).unwrap_err().to_string();
        assert_eq!(message, "sites: expected a site that the backbone has, found [reduction]");
    }
}
