//! The runs that are compared: MTLoRA on the small Swin, as the quickstart has it.

use polyptych_engine::{BalancerKind, Recipe, balancers};

const NETWORK: [&str; 3] = [
    "backbone={ name='swin_micro_patch4_window4_128', weights='none', drop_path_rate=0.0, \
     pyramid='after_blocks' }",
    "data.img_size=[96, 96]",
    "data.batch_size=8",
];

/// Half of the samples are scenes, half are birds.
const DATA: [&str; 3] = [
    "data.prefetch=2",
    "data.cache_mib=256",
    "data.train=[\
     { dataset='scenes', seed=0, split='train', len=16, height=96, width=96 }, \
     { dataset='fine_grained', domain='birds', seed=0, split='train', len=16, height=96, width=96 }]",
];

const DENSE: [&str; 6] = ["semseg", "depth", "normals", "sal", "edge", "human_parts"];

/// The recipe of the first `tasks` of eight tasks: six dense ones, tags and categories of birds.
pub(crate) fn recipe(tasks: usize, overrides: &[String]) -> Recipe {
    let names = names(tasks);
    let ranks: Vec<String> = names.iter().map(|name| format!("{name} = 4")).collect();
    let ranks = ranks.join(", ");
    let mut settings: Vec<String> = NETWORK.into_iter().chain(DATA).map(String::from).collect();
    settings.push(format!("adapter={{ method='mtlora', r=16, r_per_task={{ {ranks} }} }}"));
    settings.extend(names.iter().map(|name| {
        let dense = "{ name='hrnet', channels=[16, 16, 24, 32], hidden=64 }";
        let head = if DENSE.contains(name) { dense } else { "{ name='linear' }" };
        format!("tasks.{name}={{ weight=1.0, head={head} }}")
    }));
    settings.extend_from_slice(overrides);
    polyptych_benches::recipe("cost", &settings).expect("the recipe fits the engine")
}

fn names(tasks: usize) -> Vec<&'static str> {
    DENSE.into_iter().chain(["tags", "birds"]).take(tasks).collect()
}

/// The override that chooses `name` at its defaults.
pub(crate) fn setting(name: &str) -> String {
    let info = balancers().into_iter().find(|info| info.name == name);
    match info.expect("the listing has it").kind {
        BalancerKind::Optimiser => format!("train.optimiser={{name=\"{name}\"}}"),
        BalancerKind::Loss => format!("balancer={{loss={{name=\"{name}\"}}}}"),
        _ => format!("balancer={{gradient={{name=\"{name}\"}}}}"),
    }
}
