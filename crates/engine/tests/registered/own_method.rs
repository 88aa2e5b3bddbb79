//! A method that is none of ours: a program registers it, and recipes name it.
use std::rc::Rc;

use crate::common::{Until, alone, recipe, refused, train};
use polyptych_adapters::{AdapterConfig, Form, Method, Part, Result as AdapterResult};
use polyptych_engine::{OpenRun, Trainer, merge};
use polyptych_tensor::{
    Activations, Init, Linear, Plain, Plan, Projection, Result, Scope, Site, SiteKind, Tensor,
    Tensors, cast,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `y = g (W x + b)` behind attention, with one trainable number per output.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GainConfig {
    #[serde(default)]
    mlp: bool,
}

impl Part for GainConfig {
    const NAME: &'static str = "gain";
    const SUMMARY: &'static str = "a gain behind attention";

    fn example() -> Self {
        Self { mlp: false }
    }
}

impl Method for GainConfig {
    fn plan(&self, _tasks: &[String], form: Form) -> AdapterResult<Rc<dyn Plan>> {
        Ok(Rc::new(Gain { config: *self, form }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*.gain"]
    }
}

#[derive(Debug)]
struct Gain {
    config: GainConfig,
    form: Form,
}

impl Gain {
    fn stands_at(&self, site: &Site) -> bool {
        site.kind == SiteKind::Proj || (self.config.mlp && site.kind == SiteKind::Fc2)
    }
}

impl Plan for Gain {
    fn projection(&self, scope: &Scope, site: &Site) -> Result<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if !self.stands_at(site) || self.form == Form::Merged {
            return Ok(Box::new(Plain(base)));
        }
        Ok(Box::new(GainLinear {
            base,
            gain: scope.adapter().param("gain", &[site.out_features], Init::ONES)?,
        }))
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> Result<Tensors> {
        let mut merged: Tensors = tensors.iter().map(|(n, t)| (n.clone(), t.detach())).collect();
        for Site { path, .. } in sites.iter().filter(|site| self.stands_at(site)) {
            let gain = merged.remove(&format!("{path}.gain")).unwrap();
            let (weight, bias) = (format!("{path}.weight"), format!("{path}.bias"));
            let scaled = [&merged[&weight] * gain.unsqueeze(1), &merged[&bias] * &gain];
            merged.extend([weight, bias].into_iter().zip(scaled));
        }
        Ok(merged)
    }
}

#[derive(Debug)]
struct GainLinear {
    base: Linear,
    gain: Tensor,
}

impl Projection for GainLinear {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        x.map(|t| self.base.forward(t) * cast(&self.gain, t.kind()))
    }
}

#[test]
fn a_method_of_ones_own_trains_goes_on_and_merges() {
    let _alone = alone();
    let unknown = refused(&["adapter={method=\"gain\", mlp=true}"]);
    let known = AdapterConfig::names().join(", ");
    assert!(
        unknown.contains(&format!("adapter.method: expected one of {known}, found gain")),
        "{unknown}"
    );

    AdapterConfig::register::<GainConfig>().unwrap();
    assert_eq!(AdapterConfig::names().last(), Some(&"gain"));
    AdapterConfig::register::<GainConfig>().unwrap_err();
    let misspelt = refused(&["adapter={method=\"gain\", mpl=true}"]);
    assert!(misspelt.contains("adapter.mpl: expected one of mlp, found mpl"), "{misspelt}");

    let folder = tempfile::tempdir().unwrap();
    let (path, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let own = || recipe(&["adapter={method=\"gain\", mlp=true}"]);
    let (whole, _) = train(own(), &path);
    let (mut first, _) = Trainer::start(own(), None, &parts).unwrap();
    first.run(&mut Until { until: 4, ..Until::default() }).unwrap();
    drop(first);
    let mut second = Trainer::resume(&parts).unwrap();
    second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    let tensors = |trainer: &Trainer| trainer.model().store.tensors();
    for ((name, expected), (_, found)) in tensors(&whole).iter().zip(tensors(&second)) {
        assert!(found.equal(expected), "{name}");
    }
    drop(whole);

    let run = OpenRun::open(&path, false, None).unwrap();
    let report = merge(&run, &folder.path().join("merged"), false).unwrap();
    assert!(report.merged > 0 && report.kept.is_empty(), "{report:?}");
    assert!(report.differences.values().all(|d| d.largest <= 1e-4 * d.of), "{report:?}");
}
