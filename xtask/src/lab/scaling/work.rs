//! What is trained, by how many processes of how many threads.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The recipe of all runs, but for what trains.
pub(super) const RECIPE: &str = r#"name = "scaling"
description = "Steps of a ViT-S for `cargo xtask scaling`"
seed = 0
device = "cpu"
precision = "fp32"

[backbone]
name = "vit_small_patch16_224"
weights = "none"
drop_path_rate = 0.0

[adapter]
method = "full"

[data]
img_size = [224, 224]
batch_size = 8
prefetch = 2
cache_mib = 2048
sampling = "union"

[[data.train]]
dataset = "fine_grained"
domain = "birds"
seed = 0
split = "train"
len = 48
height = 224
width = 224
variety = 0.2

[[data.eval]]
dataset = "fine_grained"
domain = "birds"
seed = 1
split = "test"
len = 12
height = 224
width = 224
variety = 0.2

[tasks.birds]
weight = 1.0
head = { name = "linear" }

[train]
steps = 15
eval_every = 15
save_every = 15
lr = 1e-4
weight_decay = 0.05
clip_grad_norm = 5.0
optimiser = { name = "adamw", betas = [0.9, 0.999], eps = 1e-8 }
schedule = { warmup_steps = 2, cooldown_steps = 2, start_factor = 0.005, min_factor = 0.01, warmup_prefix = false }
"#;

/// What trains of a ViT-S/16.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// LoRA of rank 16 at all four projections of every block.
    Lora,
    /// All parameters.
    Full,
}

impl Work {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Lora, Self::Full];

    /// The recipe's adapter.
    pub(super) fn adapter(self) -> &'static str {
        match self {
            Self::Lora => {
                "adapter={method=\"lora\", r=16, lora_alpha=16.0, lora_dropout=0.0, \
                 target_modules=[\"qkv\", \"proj\", \"fc1\", \"fc2\"]}"
            }
            Self::Full => "adapter={method=\"full\"}",
        }
    }

    /// Its name for the peer.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::Full => "full",
        }
    }

    /// In words.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Lora => "LoRA r = 16",
            Self::Full => "full fine-tuning",
        }
    }
}

/// Processes and the threads of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Layout {
    pub(super) ranks: usize,
    pub(super) threads: usize,
    /// Whether the processes train one model; else each trains its own on its part of the batch,
    /// which shows what the machine itself takes from two that work at once.
    #[serde(default = "joined")]
    pub(super) joined: bool,
}

const fn joined() -> bool {
    true
}

impl Layout {
    /// One process, the same with both cores, two processes, and two that know nothing of each
    /// other.
    pub(super) const ALL: [Self; 4] = [
        Self { ranks: 1, threads: 1, joined: true },
        Self { ranks: 1, threads: 2, joined: true },
        Self { ranks: 2, threads: 1, joined: true },
        Self { ranks: 2, threads: 1, joined: false },
    ];

    /// Cores that it uses.
    pub(super) fn cores(self) -> usize {
        self.ranks * self.threads
    }

    /// Models that are trained, each in a run of its own.
    pub(super) fn models(self) -> usize {
        if self.joined { 1 } else { self.ranks }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apart = if self.joined { "" } else { ", apart" };
        write!(f, "{} x {}{apart}", self.ranks, self.threads)
    }
}
