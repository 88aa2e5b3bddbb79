//! MTLoRA and MTLoRA+ (Agiza, Neseem and Reda, CVPR 2024).
//!
//! Task-agnostic factors (TA-LoRA) adapt every projection for all tasks; task-specific factors
//! (TS-LoRA) stand at `proj`, `fc1` and `fc2` of the last block of each stage and give every task
//! its own stream, which leaves behind the patch merging. Departures from the published code:
//! task scales are honoured, learnable task scales work, and combinations of sites that would
//! silently drop task streams are refused.

mod config;
mod linear;
mod peft;
mod per_stage;

use std::cell::Cell;
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Linear, ParameterKind, ParameterKinds, Plain, Plan, Projection, Pyramid,
    Result as TensorResult, Scope, Site, SiteKind, Tensors,
};

pub use config::{MtLoraConfig, SharedMode};
use linear::{MtLoraLinear, Shared};
pub use per_stage::PerStage;

use crate::blocks::asked::Asked;
use crate::blocks::tensors::{copy, take};
use crate::error::Result;
use crate::method::{Form, Method};
use crate::methods::lora::Bias;
use crate::peft::factors::PeftFactors;

impl Part for MtLoraConfig {
    const NAME: &'static str = "mtlora";
    const SUMMARY: &'static str = "factors for all tasks and factors for each";

    fn example() -> Self {
        Self::new(4, 4, &[])
    }
}

impl Method for MtLoraConfig {
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        Ok(Rc::new(MtLora::new(self.clone(), tasks, form)?))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*lora_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }

    fn in_peft(&self, tensors: &Tensors) -> Option<Result<PeftFactors>> {
        Some(peft::factors(self, tensors))
    }
}

/// MTLoRA as a plan. See [`MtLoraConfig`].
#[derive(Debug)]
pub struct MtLora {
    config: MtLoraConfig,
    tasks: Vec<String>,
    form: Form,
    asked: Asked,
    /// Whether streams that leave before the last stage are read.
    reads_all: Cell<bool>,
}

/// What becomes of the shared factors of a site when the model merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnMerge {
    /// They become part of the weight.
    IntoWeight,
    /// They stay: task outputs need `W x`, the shared output needs `(W + s B A) x`.
    Stays,
    /// No output depends on them.
    Dropped,
}

impl MtLora {
    /// Checks `config` against `tasks` and makes the plan.
    ///
    /// # Errors
    /// As [`MtLoraConfig::validate`].
    pub fn new(config: MtLoraConfig, tasks: &[String], form: Form) -> Result<Self> {
        config.validate(tasks)?;
        let (asked, reads_all) = (Asked::default(), Cell::new(true));
        Ok(Self { config, tasks: tasks.to_vec(), form, asked, reads_all })
    }

    fn has_tasks(&self, site: &Site) -> bool {
        let kind = matches!(site.kind, SiteKind::Proj | SiteKind::Fc1 | SiteKind::Fc2);
        kind && site.last_in_stage && self.config.shared_mode != SharedMode::LoraOnly
    }

    /// Whether the shared output at `site` reaches no head: the shared stream ends in the very
    /// last block.
    fn is_dead_end(&self, site: &Site) -> bool {
        self.has_tasks(site) && site.last_stage && site.kind == SiteKind::Fc2
    }

    fn on_merge(&self, site: &Site) -> OnMerge {
        match (self.has_tasks(site), self.config.shared_mode) {
            (false, _) | (true, SharedMode::Matrixv2) => OnMerge::IntoWeight,
            (true, SharedMode::Matrix) if self.is_dead_end(site) => OnMerge::Dropped,
            (true, _) => OnMerge::Stays,
        }
    }

    fn base(&self, scope: &Scope, site: &Site) -> TensorResult<Linear> {
        let own_bias = self.config.bias == Bias::LoraOnly && self.config.adapts(site.kind);
        let marked = own_bias.then(|| scope.training(ParameterKind::Bias));
        let scope = marked.as_ref().unwrap_or(scope);
        Linear::new(scope, site.in_features, site.out_features, site.bias)
    }

    fn shared(&self, scope: &Scope, site: &Site, on_merge: OnMerge) -> TensorResult<Shared> {
        let tasks = self.has_tasks(site);
        match (self.config.shared_mode, self.form) {
            (SharedMode::Addition, _) if tasks => Shared::norm(scope, site.out_features),
            (_, Form::Merged) if on_merge != OnMerge::Stays => Ok(Shared::None),
            _ => Shared::factors(scope, site, &self.config),
        }
    }

    /// Marks what only the shared output at `scope` depends on.
    fn mark_dead(&self, scope: &Scope) -> TensorResult<()> {
        let names: &[&str] = match (self.config.shared_mode, self.config.learnable_scale) {
            (SharedMode::Addition, _) => &["lora_norm.weight", "lora_norm.bias"],
            (SharedMode::Matrix, false) => &["lora_shared_A", "lora_shared_B"],
            (SharedMode::Matrix, true) => &["lora_shared_A", "lora_shared_B", "lora_shared_scale"],
            (SharedMode::Matrixv2 | SharedMode::LoraOnly, _) => &[],
        };
        let mark = |name| scope.store().mark_unused(&format!("{}.{name}", scope.path()));
        names.iter().try_for_each(mark)
    }
}

impl Plan for MtLora {
    fn read_last_stage_alone(&self) {
        self.reads_all.set(false);
    }

    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = self.base(scope, site)?;
        if !self.config.adapts(site.kind) {
            return Ok(Box::new(Plain(base)));
        }
        self.config.check_stages(site)?;
        let scope = &scope.adapter();
        let on_merge = self.on_merge(site);
        let shared = self.shared(scope, site, on_merge)?;
        if self.is_dead_end(site) && self.form == Form::Adapted {
            self.mark_dead(scope)?;
        }
        let tasks = if self.has_tasks(site) { self.tasks.as_slice() } else { &[] };
        let layer = MtLoraLinear::new(scope, site, base, shared, &self.config, tasks)?;
        let layer = layer.asked_by(&self.asked);
        let is_read = self.reads_all.get() || site.last_stage;
        // The sum over tasks is part of the shared output.
        let needs_all = self.config.shared_mode == SharedMode::Addition;
        Ok(Box::new(if is_read || needs_all { layer } else { layer.without_streams() }))
    }

    fn pyramid(&self) -> Pyramid {
        Pyramid::AfterMerging
    }

    /// With `addition` the shared stream is made of those of all tasks.
    fn ask_for(&self, indices: Option<&[usize]>) -> bool {
        let apart = self.config.shared_mode != SharedMode::Addition;
        self.asked.set(indices.filter(|_| apart));
        apart
    }

    fn trains(&self, kinds: &ParameterKinds) -> bool {
        let bias = self.config.bias == Bias::All && kinds.contains(&ParameterKind::Bias);
        bias || self.config.frozen().trains(kinds)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        for site in sites.iter().filter(|site| self.config.adapts(site.kind)) {
            let (path, on_merge) = (&site.path, self.on_merge(site));
            let mut factor = |name: &str| take(&mut merged, &format!("{path}.{name}"));
            if on_merge == OnMerge::Stays {
                continue;
            }
            let (a, b) = (factor("lora_shared_A")?, factor("lora_shared_B")?);
            let scale = match self.config.learnable_scale {
                true => factor("lora_shared_scale")?.double_value(&[0]),
                false => self.config.shared_scale(site.stage),
            };
            if on_merge == OnMerge::IntoWeight {
                let weight = factor("weight")? + b.matmul(&a) * scale;
                merged.insert(format!("{path}.weight"), weight);
            }
        }
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::{Activations, Kind, Tensor};
    use serde_json::{Value, json};

    use super::*;

    use ParameterKind::{Bias, Norm, PatchEmbed, PatchMerging, RelativePositionBias};

    const KINDS: [&[ParameterKind]; 6] = [
        &[PatchEmbed],
        &[PatchEmbed, Norm],
        &[Norm, Bias],
        &[RelativePositionBias],
        &[PatchMerging],
        &[Bias],
    ];

    /// Positions in [`KINDS`] of what trains with `key` set to `value`.
    fn trains(key: &str, value: Value) -> Vec<usize> {
        let mut fields = json!({"r": 4});
        fields[key] = value;
        let config = serde_json::from_value(fields).unwrap();
        let plan = MtLora::new(config, &["semseg".to_owned()], Form::Adapted).unwrap();
        let trains = |&index: &usize| plan.trains(&KINDS[index].iter().copied().collect());
        (0..KINDS.len()).filter(trains).collect()
    }

    /// What `fc2` of the last block of a stage, the last one or another, makes of the same numbers.
    fn behind_a_stage(last_stage: bool, reads_all: bool) -> Activations {
        let tasks = ["depth", "semseg"].map(str::to_owned);
        let config = MtLoraConfig::new(4, 4, &tasks);
        let plan = MtLora::new(config, &tasks, Form::Adapted).unwrap();
        if !reads_all {
            plan.read_last_stage_alone();
        }
        let site = Site {
            path: "fc2".into(),
            kind: SiteKind::Fc2,
            in_features: 8,
            out_features: 6,
            bias: true,
            stage: 1,
            last_in_stage: true,
            last_stage,
        };
        let options = (Kind::Float, polyptych_tensor::Device::Cpu);
        let store = polyptych_tensor::Store::new(options.1);
        let layer = plan.projection(&store.root().pp("fc2"), &site).unwrap();
        // Other tests draw meanwhile, so that no seed gives the same numbers twice. What begins at
        // zero stays there: the low-rank part is nothing, and the stream the same to the last bit.
        let drawn = |tensor: &Tensor| tensor.abs().max().double_value(&[]) > 0.0;
        polyptych_tensor::no_grad(|| {
            for (_, tensor) in store.tensors().into_iter().filter(|(_, tensor)| drawn(tensor)) {
                let known = Tensor::arange(tensor.numel() as i64, options).sin();
                tensor.shallow_clone().copy_(&known.view_as(&tensor));
            }
        });
        let x = Tensor::ones([3, 8], options);
        layer.forward(&Activations::Shared(x), false)
    }

    #[test]
    fn streams_that_nobody_reads_are_not_made() {
        let read = behind_a_stage(false, true);
        assert_eq!(read.per_task().unwrap().size(), [2, 3, 6]);
        let unread = behind_a_stage(false, false);
        assert!(unread.per_task().is_none());
        assert!(unread.expect_shared().equal(read.expect_shared()));
        assert!(behind_a_stage(true, false).per_task().is_some());
    }

    #[test]
    fn switches_freeze_what_they_name() {
        assert_eq!(trains("qkv", json!(true)), [0, 1, 2, 3, 4]);
        assert_eq!(trains("freeze_patch_embed", json!(true)), [2, 3, 4]);
        assert_eq!(trains("freeze_norm", json!(true)), [0, 3, 4]);
        assert_eq!(trains("freeze_relative_position_bias", json!(true)), [0, 1, 2, 4]);
        assert_eq!(trains("freeze_downsample_reduction", json!(true)), [0, 1, 2, 3]);
        assert_eq!(trains("downsampler", json!(true)), [0, 1, 2, 3]);
        assert_eq!(trains("bias", json!("all")), [0, 1, 2, 3, 4, 5]);
        assert_eq!(trains("bias", json!("lora_only")), [0, 1, 2, 3, 4]);
    }
}
