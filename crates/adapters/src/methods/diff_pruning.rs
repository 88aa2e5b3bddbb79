//! Diff pruning: a sparse difference to the frozen weights (Guo et al., ACL 2021, arXiv 2012.07463).
//!
//! ```text
//! W' = W + z_e z_g w                             w = 0 at the start
//! z  = clamp((u_hi - u_lo) sigmoid(log u - log(1 - u) + alpha) + u_lo, 0, 1)       u ~ U(0, 1)
//! L  = L_tasks + lambda sum sigmoid(alpha - log(-u_lo / u_hi))
//! ```
//!
//! Every number of a weight has a gate `z_e` and every tensor one more, `z_g`. Three stages follow
//! each other by the progress of the run: `w` and `alpha` train; at `prune_at` the largest numbers of
//! `z_e z_g w`, a part `sparsity` of all over the whole backbone, are kept in a mask; then `w` alone
//! trains under the mask. What is left merges into an ordinary checkpoint.
//!
//! All tasks share one difference; `backbone.per_task` of a recipe gives every task its own, as
//! published.

mod gate;
mod linear;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Error as TensorError, Init, Kind, Linear, Parameter, Plain, Plan, Projection,
    Result as TensorResult, Scope, Site, Tensor, Tensors, no_grad,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use gate::Gates;
use linear::{Diff, DiffLinear};

use crate::blocks::kronecker::backbone_of;
use crate::blocks::targets::{TargetModules, Targets};
use crate::blocks::tensors::{copy, take, widened};
use crate::deltas::sparse;
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Whether masks were chosen, as the checkpoint has it.
const PRUNED: &str = "diff_pruned";

/// Configuration of diff pruning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiffPruningConfig {
    /// What part of the adapted numbers differs from the backbone's in the end, rounded down.
    pub sparsity: f64,
    /// What part of the run is done when the mask is chosen, between 0 and 1.
    pub prune_at: f64,
    /// First value of every `alpha`.
    pub alpha_init: f64,
    /// `alpha` is its first value plus this times a parameter, so that it learns so much faster than
    /// `w`; as published it has an optimiser of its own.
    pub alpha_lr_scale: f64,
    /// `u_lo`, below 0.
    pub concrete_lower: f64,
    /// `u_hi`, above 1.
    pub concrete_upper: f64,
    /// Weight of the expected number of gates that are not 0.
    pub lambda: f64,
    /// Which projections have a difference; parts of a fused `qkv` have none of their own.
    pub target_modules: TargetModules,
}

impl Default for DiffPruningConfig {
    fn default() -> Self {
        Self {
            sparsity: 0.005,
            prune_at: 0.5,
            alpha_init: 5.0,
            alpha_lr_scale: 30.0,
            concrete_lower: -1.5,
            concrete_upper: 1.5,
            lambda: 1.25e-7,
            target_modules: TargetModules::Pattern("all-linear".into()),
        }
    }
}

impl DiffPruningConfig {
    fn validate(&self) -> Result<()> {
        let within = |key, value: f64, least: &str, fits: bool| match fits && value.is_finite() {
            true => Ok(()),
            false => Err(config(key, least, value)),
        };
        let (sparsity, prune_at) = (self.sparsity, self.prune_at);
        within("sparsity", sparsity, "above 0 and at most 1", sparsity > 0.0 && sparsity <= 1.0)?;
        within("prune_at", prune_at, "above 0 and below 1", prune_at > 0.0 && prune_at < 1.0)?;
        within("alpha_init", self.alpha_init, "a finite number", true)?;
        let scale = self.alpha_lr_scale;
        within("alpha_lr_scale", scale, "a positive number", scale > 0.0)?;
        let (lower, upper) = (self.concrete_lower, self.concrete_upper);
        within("concrete_lower", lower, "below 0", lower < 0.0)?;
        within("concrete_upper", upper, "above 1", upper > 1.0)?;
        within("lambda", self.lambda, "at least 0", self.lambda >= 0.0)?;
        self.target_modules.validate()
    }

    fn gates(&self) -> Gates {
        Gates {
            alpha_init: self.alpha_init,
            alpha_lr_scale: self.alpha_lr_scale,
            lower: self.concrete_lower,
            upper: self.concrete_upper,
        }
    }

    /// How many of `count` numbers are kept.
    fn kept(&self, count: usize) -> i64 {
        (self.sparsity * count as f64).floor() as i64
    }
}

impl Part for DiffPruningConfig {
    const NAME: &'static str = "diff_pruning";
    const SUMMARY: &'static str = "a sparse difference to weights, whose places are found by gates";

    fn example() -> Self {
        // Gates of few numbers would be shut by chance, and which of equal numbers are kept is chance.
        Self { sparsity: 1.0, alpha_init: 12.0, ..Self::default() }
    }
}

impl Method for DiffPruningConfig {
    fn plan(&self, _tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate()?;
        let targets = Targets::new(&self.target_modules)?;
        let (marker, pruned, built) = (RefCell::default(), Rc::default(), RefCell::default());
        Ok(Rc::new(DiffPruning { config: self.clone(), form, targets, marker, pruned, built }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*diff_*"]
    }
}

#[derive(Debug)]
struct DiffPruning {
    config: DiffPruningConfig,
    form: Form,
    targets: Targets,
    /// 1 once masks were chosen, `[1]`; part of the checkpoint.
    marker: RefCell<Option<Tensor>>,
    /// The same as a number of the process.
    pruned: Rc<Cell<bool>>,
    /// Differences by module and name of their tensor.
    built: RefCell<BTreeMap<(String, &'static str), Diff>>,
}

impl DiffPruning {
    /// The difference of the tensor `name` of `site`.
    fn diff(
        &self,
        scope: &Scope,
        site: &Site,
        (name, shape): (&'static str, &[i64]),
    ) -> TensorResult<Diff> {
        let param = |part: &str, shape: &[i64]| {
            scope.param(format!("diff_{part}.{name}"), shape, Init::ZEROS)
        };
        let diff = Diff {
            w: param("w", shape)?,
            alpha: param("alpha", shape)?,
            group: param("group", &[1])?,
            mask: scope.buffer(format!("diff_mask.{name}"), shape, Init::ONES)?,
        };
        self.built.borrow_mut().insert((site.path.clone(), name), diff.shallow_clone());
        Ok(diff)
    }

    fn mark(&self, scope: &Scope, site: &Site) -> TensorResult<()> {
        let mut marker = self.marker.borrow_mut();
        if marker.is_none() {
            *marker = Some(backbone_of(scope, site).buffer(PRUNED, &[1], Init::ZEROS)?);
        }
        Ok(())
    }

    /// Chooses the masks: the largest differences of all tensors together.
    fn prune(&self) {
        let (built, gates) = (self.built.borrow(), self.config.gates());
        let deltas: Vec<Tensor> = built.values().map(|diff| diff.gated(&gates, false)).collect();
        let flat = Tensor::cat(&deltas.iter().map(|d| d.flatten(0, -1)).collect::<Vec<_>>(), 0);
        let kept = self.config.kept(flat.numel());
        let (_, places) = flat.abs().topk(kept, 0, true, false);
        let mask = flat.zeros_like().index_fill(0, &places, 1.0);
        let sizes: Vec<i64> = deltas.iter().map(|d| d.numel() as i64).collect();
        let masks = mask.split_with_sizes(&sizes, 0);
        for ((diff, delta), mask) in built.values().zip(deltas).zip(masks) {
            diff.keep(&delta, &mask.view_as(&delta));
        }
    }
}

impl Plan for DiffPruning {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if !self.targets.adapts(site) || self.form == Form::Merged {
            return Ok(Box::new(Plain(base)));
        }
        let own = scope.adapter();
        self.mark(&own, site)?;
        let weight = self.diff(&own, site, ("weight", &base.weight.size()))?;
        let bias = base.bias.as_ref().map(|bias| self.diff(&own, site, ("bias", &bias.size())));
        let (bias, gates) = (bias.transpose()?, self.config.gates());
        Ok(Box::new(DiffLinear { base, weight, bias, gates, pruned: self.pruned.clone() }))
    }

    fn check(&self, _sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        if self.form == Form::Merged {
            return Ok(());
        }
        let built = self.built.borrow();
        self.targets.check(!built.is_empty())?;
        let count = built.values().map(|diff| diff.w.numel()).sum();
        match self.config.kept(count) {
            0 => Err(TensorError::Config {
                key: "sparsity".into(),
                expected: format!("at least 1 / {count}, or nothing is kept of {count} numbers"),
                found: self.config.sparsity.to_string(),
            }),
            _ => Ok(()),
        }
    }

    fn set_progress(&self, step: u64, steps: u64) {
        let marker = self.marker.borrow();
        let known = |marker: &Tensor| marker.double_value(&[0]) != 0.0;
        let done = marker.as_ref().is_some_and(|marker| no_grad(|| known(marker)));
        let due = step as f64 >= self.config.prune_at * steps as f64;
        if let Some(marker) = marker.as_ref().filter(|_| due && !done) {
            no_grad(|| {
                self.prune();
                let _ = marker.shallow_clone().fill_(1.0);
            });
        }
        self.pruned.set(done || due);
    }

    fn unmergeable(&self) -> Option<String> {
        let reason = "which numbers differ is chosen at adapter.prune_at, and the run is not there";
        (!self.pruned.get() && self.form == Form::Adapted).then(|| reason.into())
    }

    fn penalty(&self) -> Option<Tensor> {
        let (built, lambda) = (self.built.borrow(), self.config.lambda);
        let gates = self.config.gates();
        let terms = built.values().map(|diff| diff.expected_open(&gates));
        let open = terms.reduce(|sum, term| sum + term);
        open.filter(|_| lambda > 0.0 && !self.pruned.get()).map(|open| open * lambda)
    }

    fn merge(&self, _sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let (mut merged, gates) = (copy(tensors), self.config.gates());
        let built = self.built.borrow();
        if built.is_empty() {
            return Ok(merged);
        }
        let pruned = take(&mut merged, PRUNED)?.double_value(&[0]) != 0.0;
        for (path, name) in built.keys() {
            let diff = taken(&mut merged, path, name)?;
            let place = format!("{path}.{name}");
            let tensor = widened(&take(&mut merged, &place)?) + diff.delta(&gates, pruned, false);
            merged.insert(place, tensor);
        }
        Ok(merged)
    }

    fn taken(&self) -> Option<Vec<(String, Vec<f64>)>> {
        if self.form == Form::Merged || !self.pruned.get() {
            return None;
        }
        let built = self.built.borrow();
        let share = |((path, name), diff): (&(String, &str), &Diff)| {
            let kept = no_grad(|| diff.mask.mean(Kind::Double).double_value(&[]));
            (format!("{path}.{name}"), vec![kept])
        };
        Some(built.iter().map(share).collect())
    }

    fn delta(&self, _sites: &[Site], tensors: &Tensors) -> TensorResult<Option<Tensors>> {
        let (mut tensors, mut kept) = (copy(tensors), Tensors::new());
        for (path, name) in self.built.borrow().keys() {
            let Diff { w, mask, .. } = taken(&mut tensors, path, name)?;
            kept.extend(sparse(&format!("{path}.{name}"), &(w * &mask), &mask));
        }
        Ok(Some(kept))
    }
}

/// The difference of the tensor `name` at `path` in `tensors`, taken out of them.
fn taken(tensors: &mut Tensors, path: &str, name: &str) -> TensorResult<Diff> {
    let mut own = |part: &str| take(tensors, &format!("{path}.diff_{part}.{name}"));
    let (w, alpha) = (own("w")?, own("alpha")?);
    Ok(Diff { w, alpha, group: own("group")?, mask: own("mask")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Activations, Device, SiteKind, Store, manual_seed};
    use serde_json::{Value, json};

    fn plan(fields: Value) -> Result<Rc<dyn Plan>> {
        let config: DiffPruningConfig = serde_json::from_value(fields).unwrap();
        config.plan(&[], Form::Adapted)
    }

    /// Two layers, their projections and tensors.
    fn layers(plan: &dyn Plan) -> (Vec<Box<dyn Projection>>, Tensors) {
        let store = Store::new(Device::Cpu);
        let layer = |name: &str| {
            let site = Site {
                path: name.into(),
                kind: SiteKind::Fc1,
                in_features: 20,
                out_features: 10,
                bias: true,
                stage: 0,
                last_in_stage: false,
                last_stage: false,
            };
            plan.projection(&store.root().pp(name), &site).unwrap()
        };
        let layers = vec![layer("fc1"), layer("fc2")];
        plan.check(&[], &[]).unwrap();
        (layers, store.tensors().into_iter().collect())
    }

    fn draw(tensors: &Tensors, name: &str) {
        let tensor = &tensors[name];
        no_grad(|| tensor.shallow_clone().copy_(&tensor.rand_like()));
    }

    fn nonzero(delta: &Tensor) -> i64 {
        delta.count_nonzero(0).sum(Kind::Int64).int64_value(&[])
    }

    /// 420 numbers, 2 of which are kept: the largest of both layers.
    #[test]
    fn exactly_so_many_numbers_remain() {
        manual_seed(0);
        let plan = plan(json!({"prune_at": 0.5})).unwrap();
        let (_, tensors) = layers(plan.as_ref());
        for name in ["fc1.diff_w.weight", "fc1.diff_w.bias", "fc2.diff_w.weight"] {
            draw(&tensors, name);
        }
        plan.set_progress(49, 100);
        assert!(plan.unmergeable().is_some() && plan.penalty().is_some());
        assert_eq!(nonzero(&tensors["fc2.diff_w.weight"]), 200);
        let largest = |name: &str| tensors[name].max().double_value(&[]);
        let all = Tensor::cat(
            &["fc1.diff_w.weight", "fc1.diff_w.bias", "fc2.diff_w.weight"]
                .map(|name| tensors[name].flatten(0, -1)),
            0,
        );
        let second = all.topk(2, 0, true, true).0.double_value(&[1]);
        let before = largest("fc1.diff_w.weight").max(largest("fc2.diff_w.weight"));
        plan.set_progress(50, 100);
        assert!(plan.unmergeable().is_none() && plan.penalty().is_none());
        let merged = plan.merge(&[], &tensors).unwrap();
        let changed: i64 = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
            .map(|name| nonzero(&(&merged[name] - &tensors[name])))
            .iter()
            .sum();
        assert_eq!(changed, 2);
        assert_eq!(merged.len(), 4);
        let kept = largest("fc1.diff_w.weight").max(largest("fc2.diff_w.weight"));
        assert!(kept == before.max(kept) && kept >= second);
        // What was chosen stays, whatever becomes of the numbers.
        draw(&tensors, "fc1.diff_w.weight");
        draw(&tensors, "fc2.diff_w.weight");
        plan.set_progress(51, 100);
        let masks: f64 = ["fc1.diff_mask.weight", "fc2.diff_mask.weight", "fc1.diff_mask.bias"]
            .map(|name| tensors[name].sum(Kind::Double).double_value(&[]))
            .iter()
            .sum();
        assert_eq!(masks, 2.0);
    }

    #[test]
    fn under_the_mask_numbers_alone_train() {
        manual_seed(0);
        let plan = plan(json!({"sparsity": 0.1})).unwrap();
        let (layers, tensors) = layers(plan.as_ref());
        draw(&tensors, "fc1.diff_w.weight");
        plan.set_progress(1, 1);
        let x = Tensor::ones([3, 20], (Kind::Float, Device::Cpu));
        let y = layers[0].forward(&Activations::Shared(x), true).into_shared();
        y.sum(Kind::Float).backward();
        let grad = tensors["fc1.diff_w.weight"].grad();
        assert!((grad / 3.0).equal(&tensors["fc1.diff_mask.weight"]));
        assert!(!tensors["fc1.diff_alpha.weight"].grad().defined());
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value| plan(fields).unwrap_err().to_string();
        for (fields, expected) in [
            (json!({"sparsity": 0.0}), "sparsity: expected above 0 and at most 1, found 0"),
            (json!({"prune_at": 1.0}), "prune_at: expected above 0 and below 1, found 1"),
            (json!({"concrete_lower": 0.0}), "concrete_lower: expected below 0, found 0"),
            (json!({"concrete_upper": 1.0}), "concrete_upper: expected above 1, found 1"),
            (json!({"alpha_lr_scale": 0.0}), "alpha_lr_scale: expected a positive number, found 0"),
            (json!({"lambda": -1.0}), "lambda: expected at least 0, found -1"),
        ] {
            assert_eq!(message(fields), expected);
        }
        let plan = plan(json!({"sparsity": 1e-3})).unwrap();
        let site = Site {
            path: "fc1".into(),
            kind: SiteKind::Fc1,
            in_features: 4,
            out_features: 3,
            bias: false,
            stage: 0,
            last_in_stage: false,
            last_stage: false,
        };
        let _ = plan.projection(&Store::new(Device::Cpu).root().pp("fc1"), &site).unwrap();
        assert_eq!(
            plan.check(&[], &[]).unwrap_err().to_string(),
            "sparsity: expected at least 1 / 12, or nothing is kept of 12 numbers, found 0.001"
        );
    }
}
