//! LV-Adapter (Liang et al., "Effective Adaptation in Multi-Task Co-Training for Unified Autonomous
//! Driving", NeurIPS 2022, arXiv 2209.08953): adapters on the levels of a pyramid, and what a text
//! tower says of every task's classes.
//!
//! ```text
//! F'    = F + W_2 gelu(DW3x3(W_1 F + b_1)) + b_2                   at each level
//! E_t   = text([v_1^t .. v_M^t; class])                            for each class of a task
//! F_t   = F' + W_o MHA(q = LN(F'), kv = E_t) + W_c softmax(<W_f F', E_t> / tau) E_t
//! ```
//!
//! `v^t` are prompts that the task learns. `W_2`, `W_o` and `W_c` start at 0, so that the model starts
//! as the plain backbone. The form of the adapter is our reading; a task without classes has its own
//! name in their place. The paper's schedule, adapting before all is fine-tuned, is not part of the
//! method: stages of a recipe are, the second with `backbone.unfreeze`.

mod language;
mod linear;

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Activations, Conv2d, Error as TensorError, Init, Linear, Neck, Plan, Result as TensorResult,
    Scope, Tensor,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Result, config};
use crate::method::{Form, Language, Method};

pub use language::LanguageNeck;
use linear::linear;

/// Configuration of LV-Adapter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LvAdapterConfig {
    /// Width of the adapter at each level.
    pub bottleneck: i64,
    /// Side of the adapter's depthwise kernel, an odd number; 1 for none of the places around.
    pub kernel_size: i64,
    /// Whether levels read the classes of tasks, by the text tower of the recipe.
    pub language: bool,
    /// `M`: prompts that each task learns in front of the names of its classes.
    pub num_tokens: i64,
    /// Heads of the attention to classes.
    pub num_heads: i64,
    /// `tau`: temperature of the scores of classes.
    pub temperature: f64,
}

impl Default for LvAdapterConfig {
    fn default() -> Self {
        Self {
            bottleneck: 64,
            kernel_size: 3,
            language: false,
            num_tokens: 8,
            num_heads: 4,
            temperature: 0.07,
        }
    }
}

impl LvAdapterConfig {
    fn validate(&self) -> Result<()> {
        for (key, extent) in [
            ("bottleneck", self.bottleneck),
            ("num_tokens", self.num_tokens),
            ("num_heads", self.num_heads),
        ] {
            if extent < 1 {
                return Err(config(key, "at least 1", extent));
            }
        }
        if self.kernel_size < 1 || self.kernel_size % 2 == 0 {
            return Err(config("kernel_size", "an odd number", self.kernel_size));
        }
        match self.temperature > 0.0 && self.temperature.is_finite() {
            true => Ok(()),
            false => Err(config("temperature", "a finite number above 0", self.temperature)),
        }
    }
}

impl Part for LvAdapterConfig {
    const NAME: &'static str = "lv_adapter";
    const SUMMARY: &'static str = "adapters on the feature levels, which can attend to class names";

    fn example() -> Self {
        Self { bottleneck: 4, ..Self::default() }
    }
}

impl Method for LvAdapterConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        self.validate()?;
        Ok(Rc::new(LvAdapter { bottleneck: self.bottleneck, kernel_size: self.kernel_size }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*lv_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        self.language.then_some("has prompts of its own for every task beside one trunk")
    }

    fn language(&self) -> Option<Language> {
        let LvAdapterConfig { num_tokens, num_heads, temperature, .. } = *self;
        self.language.then_some(Language { num_tokens, num_heads, temperature })
    }
}

#[derive(Debug)]
struct LvAdapter {
    bottleneck: i64,
    kernel_size: i64,
}

impl Plan for LvAdapter {
    fn neck(&self, scope: &Scope, channels: &[i64]) -> TensorResult<Option<Box<dyn Neck>>> {
        let scope = scope.adapter().pp("lv_adapters");
        let level = |(level, chans): (usize, &i64)| {
            LevelAdapter::new(&scope.pp(level), *chans, [self.bottleneck, self.kernel_size])
        };
        let levels = channels.iter().enumerate().map(level).collect::<TensorResult<_>>()?;
        Ok(Some(Box::new(Levels(levels))))
    }

    fn unmergeable(&self) -> Option<String> {
        Some(
            "the adapters stand behind the levels, and no weight of the trunk can hold them".into(),
        )
    }
}

#[derive(Debug)]
struct Levels(Vec<LevelAdapter>);

impl Neck for Levels {
    fn forward(&self, levels: Vec<Activations>, _train: bool) -> Vec<Activations> {
        let pairs = self.0.iter().zip(&levels);
        pairs.map(|(adapter, level)| level.map(|map| adapter.forward(map))).collect()
    }
}

/// `F + A(F)`.
#[derive(Debug)]
struct LevelAdapter {
    down: Linear,
    depthwise: Conv2d,
    up: Linear,
}

impl LevelAdapter {
    /// Of `width` channels within, and a kernel of `kernel` places on a side.
    fn new(scope: &Scope, chans: i64, [width, kernel]: [i64; 2]) -> Result<Self, TensorError> {
        Ok(Self {
            down: linear(&scope.pp("lv_down"), [width, chans], Init::fan_in(chans))?,
            depthwise: Conv2d::depthwise(&scope.pp("lv_depthwise"), width, kernel)?,
            up: linear(&scope.pp("lv_up"), [chans, width], Init::ZEROS)?,
        })
    }

    /// `[batch, height, width, chans]` to the same.
    fn forward(&self, map: &Tensor) -> Tensor {
        let hidden = self.down.forward(map).permute([0, 3, 1, 2]);
        let hidden = self.depthwise.forward(&hidden).permute([0, 2, 3, 1]).contiguous();
        map + self.up.forward(&hidden.gelu("none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Store};
    use serde_json::{Value, json};

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value| {
            let config: LvAdapterConfig = serde_json::from_value(fields).unwrap();
            config.plan(&[], Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"bottleneck": 0}), "bottleneck: expected at least 1, found 0"),
            (json!({"kernel_size": 2}), "kernel_size: expected an odd number, found 2"),
            (json!({"num_tokens": 0}), "num_tokens: expected at least 1, found 0"),
            (json!({"temperature": 0.0}), "temperature: expected a finite number above 0, found 0"),
        ] {
            assert_eq!(message(fields), expected);
        }
    }

    /// Two matrices with biases and a kernel for each channel between them.
    #[test]
    fn parameters_of_a_level_are_counted() {
        for kernel in [1, 3, 5] {
            let store = Store::new(Device::Cpu);
            LevelAdapter::new(&store.root(), 12, [4, kernel as i64]).unwrap();
            let count: usize = store.tensors().iter().map(|(_, t)| t.numel()).sum();
            assert_eq!(count, (4 * 12 + 4) + (4 * kernel * kernel + 4) + (12 * 4 + 12));
        }
    }
}
