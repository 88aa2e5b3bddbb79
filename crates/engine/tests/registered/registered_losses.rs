//! A balancer and a loss of another program train by recipe, and go on as the same run.
use std::collections::BTreeMap;
use std::sync::Once;

use crate::common::{Until, alone, try_recipe};
use polyptych_engine::{Recipe, Trainer};
use polyptych_losses::balancers::gradient::{Gram, GramAggregator};
use polyptych_losses::balancers::{BalancerConfig, BalancerKind, BalancerPart, Method, StepInfo};
use polyptych_losses::{LossConfig, LossValue, Result, TaskLoss};
use polyptych_registry::Part;
use polyptych_tensor::{Kind, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The gradient of the first task of the step alone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FirstTask {
    factor: f64,
}

impl Part for FirstTask {
    const NAME: &'static str = "first_task";
    const SUMMARY: &'static str = "the gradient of one task";

    fn example() -> Self {
        Self { factor: 1.0 }
    }
}

impl BalancerPart for FirstTask {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "a test"
    }

    fn scale(&self) -> &'static str {
        "own"
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        Ok(Method::gram(self.clone()))
    }
}

impl GramAggregator for FirstTask {
    fn weights(&mut self, gram: &Gram, _info: &StepInfo) -> Result<Vec<f64>> {
        let mut weights = vec![0.0; gram.matrix().nrows()];
        weights[0] = self.factor;
        Ok(weights)
    }
}

/// `|z - y|^2`, mean over labelled elements.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct L2 {}

impl Part for L2 {
    const NAME: &'static str = "l2";
    const SUMMARY: &'static str = "squared distance";

    fn example() -> Self {
        Self {}
    }
}

impl TaskLoss for L2 {
    fn forward(&self, prediction: &Tensor, target: &Tensor) -> Result<LossValue> {
        let known = target.isnan().logical_not();
        let squares = (prediction - target.nan_to_num(0.0, None, None)).square() * &known;
        let labelled = known.sum(Kind::Int64);
        Ok(LossValue { loss: squares.sum(Kind::Float) / labelled.clamp_min(1), labelled })
    }
}

const OVERRIDES: [&str; 2] = [
    r#"balancer={gradient={name="first_task", factor=0.5}}"#,
    r#"tasks.depth={weight=1.0, head={name="segformer", embed_dim=8, dropout=0.0}, loss={name="l2"}}"#,
];

fn recipe() -> Recipe {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        BalancerConfig::register::<FirstTask>().unwrap();
        LossConfig::register::<L2>().unwrap();
    });
    try_recipe(&OVERRIDES).unwrap()
}

fn tensors(trainer: &Trainer) -> BTreeMap<String, Tensor> {
    trainer.model().store.tensors().into_iter().map(|(name, t)| (name, t.detach().copy())).collect()
}

#[test]
fn a_run_with_registered_parts_goes_on_bit_for_bit() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let (mut trainer, _) = Trainer::start(recipe(), None, &whole).unwrap();
    let mut observer = Until { until: u64::MAX, ..Until::default() };
    trainer.run(&mut observer).unwrap();
    assert!(observer.reports.iter().all(|r| !r.skipped && r.losses["depth"].is_some()));
    let (mut first, _) = Trainer::start(recipe(), None, &parts).unwrap();
    first.run(&mut Until { until: 3, ..Until::default() }).unwrap();
    drop(first);
    let mut second = Trainer::resume(&parts).unwrap();
    second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    for ((name, expected), (_, found)) in tensors(&trainer).into_iter().zip(tensors(&second)) {
        assert!(expected.equal(&found), "{name}");
    }
}

#[test]
fn a_recipe_keeps_the_settings_of_registered_parts() {
    let _alone = alone();
    let recipe = recipe();
    let gradient = recipe.balancer.as_ref().unwrap().gradient.as_ref().unwrap();
    assert_eq!(gradient.downcast_ref::<FirstTask>().unwrap().factor, 0.5);
    assert!(recipe.tasks["depth"].loss.as_ref().unwrap().downcast_ref::<L2>().is_some());
    let text = toml::to_string(&recipe).unwrap();
    let again = Recipe::parse("again", &text, &[]).unwrap();
    assert_eq!((again.balancer, again.tasks), (recipe.balancer, recipe.tasks));
}

#[test]
fn names_that_nobody_registered_are_answered_with_those_that_are() {
    let _alone = alone();
    let _ = recipe();
    let message = try_recipe(&[r#"balancer={gradient={name="second_task"}}"#]).unwrap_err();
    let message = message.to_string();
    assert!(message.contains("second_task"), "{message}");
    assert!(BalancerConfig::names().iter().all(|name| message.contains(name)), "{message}");
    let loss = r#"tasks.depth={weight=1.0, head={name="segformer", embed_dim=8, dropout=0.0}, loss={name="l3"}}"#;
    let message = try_recipe(&[loss]).unwrap_err().to_string();
    assert!(message.contains("l3"), "{message}");
    assert!(LossConfig::names().iter().all(|name| message.contains(name)), "{message}");
}
