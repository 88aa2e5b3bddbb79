//! Recipes of what is measured: the parts that time does not depend on, once.

use polyptych_engine::{Recipe, Result};

const TEXT: &str = r#"
description = "what is timed"
seed = 0
device = "cpu"
precision = "fp32"

[data]
prefetch = 1
cache_mib = 0
sampling = "per_dataset"

[[data.train]]
dataset = "scenes"
seed = 0
split = "train"
len = 16
height = 96
width = 96

[[data.eval]]
dataset = "scenes"
seed = 1
split = "val"
len = 1
height = 96
width = 96

[train]
steps = 1000000
eval_every = 1000000
save_every = 1000000
lr = 1e-4
weight_decay = 0.05
clip_grad_norm = 5.0
optimiser = { name = "adamw", betas = [0.9, 0.999], eps = 1e-8 }
schedule = { warmup_steps = 0, cooldown_steps = 0, start_factor = 1.0, min_factor = 1.0 }
"#;

/// A run on the CPU over 16 scenes of 96 x 96 pixels, in which nothing is evaluated or saved:
/// `settings` bring network, method, size and tasks, as behind `--set`.
///
/// # Errors
/// Settings that are no recipe.
pub fn recipe(name: &str, settings: &[String]) -> Result<Recipe> {
    Recipe::parse(name, &format!("name = {name:?}\n{TEXT}"), settings)
}
