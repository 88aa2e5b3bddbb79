//! Configuration of VMT-Adapter. Every choice that the paper leaves open is a field.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::parallel::AdapterInput;
use crate::blocks::tasks::check_tasks;
use crate::blocks::width::Bottleneck;
use crate::error::{Result, config};

/// How the down- and the up-projection of one adapter hang together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Projections {
    /// VMT-Adapter: two matrices, `[d, k]` and `[k, d]`.
    #[default]
    Separate,
    /// VMT-Adapter-Lite, form T: `W_up = W_down^T`, with biases of their own and a trainable scale that
    /// starts at 0, since a tied pair cannot be zero on one side.
    Tied,
    /// VMT-Adapter-Lite, form S: `W_down = S P`, `W_up = Q S^T` with one core `S`, `[d, rank]`.
    SharedCore {
        /// Width of the core, below the bottleneck's.
        rank: i64,
    },
}

/// What stands between the projections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdapterActivation {
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// The exact GELU.
    Gelu,
}

/// How a task draws its own from what all share, with `h` the activated bottleneck.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KnowledgeExtraction {
    /// Scale and shift of the bottleneck: `h_t = gamma_t h + beta_t`, `2 k` numbers.
    #[default]
    Bottleneck,
    /// Scale and shift of the up-projection's output, `2 d` numbers.
    Output,
    /// A linear map of the bottleneck: `h_t = h + M_t h + beta_t`, `k^2 + k` numbers from 0 on.
    Linear,
}

/// Which blocks have knowledge-extraction modules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeBlocks {
    /// The tapped ones.
    #[default]
    Taps,
    /// All; what a task reads at a tap sums the terms of the stage's blocks.
    All,
    /// Those of these names, each at or before the tap of its stage.
    Named(Vec<String>),
}

/// What the heads of a task read at a tap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecoderInput {
    /// `z_t = z + a_t - a_0`: the task's adapter output in place of the shared one.
    #[default]
    Sum,
    /// `z` and `a_t` side by side: twice the width.
    Concat,
}

/// Configuration of VMT-Adapter and VMT-Adapter-Lite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VmtAdapterConfig {
    /// Width of the bottleneck; a sixteenth of the MLP's if absent.
    pub bottleneck: Bottleneck,
    /// Whether down- and up-projection share parameters (VMT-Adapter-Lite).
    pub projections: Projections,
    /// What the adapter reads.
    pub input: AdapterInput,
    /// What stands between the projections.
    pub activation: AdapterActivation,
    /// Factor on what the adapter makes; 1 if absent, 0 for tied projections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Whether the factor is trainable, one number per adapter; if absent, for tied projections only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learnable_scale: Option<bool>,
    /// What a task's module does.
    pub knowledge_extraction: KnowledgeExtraction,
    /// Which blocks have such modules.
    pub ke_blocks: KeBlocks,
    /// Blocks behind which the tasks' streams leave, at most one in each stage, by timm's names
    /// (`layers.0.blocks.1`, `blocks.2`); the last of every stage if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taps: Option<Vec<String>>,
    /// What heads read there.
    pub decoder_input: DecoderInput,
    /// Trains the patch embedding, its norm included.
    pub train_patch_embed: bool,
    /// Trains the normalisation layers, that of the patch embedding aside.
    pub train_norm: bool,
    /// Trains Swin's relative-position tables.
    pub train_relative_position_bias: bool,
}

impl Default for VmtAdapterConfig {
    fn default() -> Self {
        Self {
            bottleneck: Bottleneck::Reduction(16),
            projections: Projections::default(),
            input: AdapterInput::default(),
            activation: AdapterActivation::default(),
            scale: None,
            learnable_scale: None,
            knowledge_extraction: KnowledgeExtraction::default(),
            ke_blocks: KeBlocks::default(),
            taps: None,
            decoder_input: DecoderInput::default(),
            train_patch_embed: false,
            train_norm: false,
            train_relative_position_bias: false,
        }
    }
}

impl VmtAdapterConfig {
    /// Checks every field against `tasks`.
    ///
    /// # Errors
    /// The first field that is out of range, a task that stands twice or is absent.
    pub fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        match self.bottleneck {
            Bottleneck::Fixed(k) if k < 1 => {
                return Err(config("bottleneck.fixed", "at least 1", k));
            }
            Bottleneck::Reduction(by) if by < 1 => {
                return Err(config("bottleneck.reduction", "at least 1", by));
            }
            _ => {}
        }
        match self.projections {
            Projections::SharedCore { rank } if rank < 1 => {
                return Err(config("projections.shared_core.rank", "at least 1", rank));
            }
            _ => {}
        }
        let (scale, trainable) = self.scale();
        if !scale.is_finite() || (scale == 0.0 && !trainable) {
            let expected = "a finite number, other than 0 unless it is trainable";
            return Err(config("scale", expected, scale));
        }
        Ok(())
    }

    /// First value of the scale, and whether it is trainable.
    pub(super) fn scale(&self) -> (f64, bool) {
        let tied = self.projections == Projections::Tied;
        let first = if tied { 0.0 } else { 1.0 };
        (self.scale.unwrap_or(first), self.learnable_scale.unwrap_or(tied && self.scale.is_none()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn message(fields: Value, tasks: &[&str]) -> String {
        let config: VmtAdapterConfig = serde_json::from_value(fields).unwrap();
        let tasks: Vec<String> = tasks.iter().map(|&task| task.to_owned()).collect();
        config.validate(&tasks).unwrap_err().to_string()
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let scale = "scale: expected a finite number, other than 0 unless it is trainable, found 0";
        for (fields, expected) in [
            (json!({"bottleneck": {"fixed": 0}}), "bottleneck.fixed: expected at least 1, found 0"),
            (
                json!({"bottleneck": {"reduction": 0}}),
                "bottleneck.reduction: expected at least 1, found 0",
            ),
            (
                json!({"projections": {"shared_core": {"rank": 0}}}),
                "projections.shared_core.rank: expected at least 1, found 0",
            ),
            (json!({"scale": 0.0}), scale),
            (json!({"projections": "tied", "learnable_scale": false}), scale),
        ] {
            assert_eq!(message(fields, &["semseg", "sal"]), expected);
        }
    }

    #[test]
    fn tasks_stand_once() {
        let found = message(json!({}), &["semseg", "sal", "semseg"]);
        assert_eq!(found, "tasks: expected every task once, found semseg twice");
        assert_eq!(message(json!({}), &[]), "tasks: expected at least one task, found none");
    }

    #[test]
    fn only_a_tied_pair_learns_its_scale_unasked() {
        let scale =
            |fields: Value| serde_json::from_value::<VmtAdapterConfig>(fields).unwrap().scale();
        assert_eq!(scale(json!({})), (1.0, false));
        assert_eq!(scale(json!({"projections": "tied"})), (0.0, true));
        assert_eq!(scale(json!({"projections": "tied", "scale": 0.1})), (0.1, false));
        assert_eq!(scale(json!({"scale": 0.1, "learnable_scale": true})), (0.1, true));
    }
}
