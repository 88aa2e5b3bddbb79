//! The runs that are compared: MTLoRA on the small Swin, as the quickstart has it.

use polyptych_engine::{BalancerKind, Recipe, balancers};

const TEXT: &str = r#"
name = "cost"
description = "the cost of balancing"
seed = 0
device = "cpu"
precision = "fp32"

[backbone]
name = "swin_micro_patch4_window4_128"
weights = "none"
drop_path_rate = 0.0
pyramid = "after_blocks"

[adapter]
method = "mtlora"
r = 16
r_per_task = 4

[data]
img_size = [96, 96]
batch_size = 8
prefetch = 2
cache_mib = 256
sampling = "per_dataset"

[[data.train]]
dataset = "scenes"
seed = 0
split = "train"
len = 16
height = 96
width = 96

[[data.train]]
dataset = "fine_grained"
domain = "birds"
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

const DENSE: [&str; 6] = ["semseg", "depth", "normals", "sal", "edge", "human_parts"];

/// The recipe of the first `tasks` of eight tasks: six dense ones, tags and categories of birds.
pub(crate) fn recipe(tasks: usize, overrides: &[String]) -> Recipe {
    let dense = DENSE.iter().map(|name| {
        let head = "{ name = \"hrnet\", channels = [16, 16, 24, 32], hidden = 64 }";
        format!("[tasks.{name}]\nweight = 1.0\nhead = {head}\n")
    });
    let whole = ["tags", "birds"]
        .iter()
        .map(|name| format!("[tasks.{name}]\nweight = 1.0\nhead = {{ name = \"linear\" }}\n"));
    let chosen: Vec<String> = dense.chain(whole).take(tasks).collect();
    let text = format!("{TEXT}\n{}", chosen.join("\n"));
    let ranks: Vec<String> = names(tasks).iter().map(|name| format!("{name} = 4")).collect();
    let text = text.replace("r_per_task = 4", &format!("r_per_task = {{ {} }}", ranks.join(", ")));
    Recipe::parse("cost", &text, overrides).expect("the recipe fits the engine")
}

fn names(tasks: usize) -> Vec<&'static str> {
    DENSE.into_iter().chain(["tags", "birds"]).take(tasks).collect()
}

/// The override that chooses `name` at its defaults.
pub(crate) fn setting(name: &str) -> String {
    let info = balancers().iter().find(|info| info.name == name);
    match info.expect("the listing has it").kind {
        BalancerKind::Optimiser => format!("train.optimiser={{name=\"{name}\"}}"),
        BalancerKind::Loss => format!("balancer={{loss={{name=\"{name}\"}}}}"),
        _ => format!("balancer={{gradient={{name=\"{name}\"}}}}"),
    }
}
