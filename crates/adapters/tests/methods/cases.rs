//! Every registered method at its example, and in its other forms: what of it trains and what merges.

mod beside;
mod low_rank;
mod tokens;
mod weights;

use polyptych_adapters::{AdapterConfig, Form};
use polyptych_backbones::BackboneConfig;
use serde_json::{Value, json};

use self::beside::{bottlenecks, hypernetworks};
use self::low_rank::{lora, mtloras, vmts};
use self::tokens::{parting, prompts};
use self::weights::{reparameterised, reweighted, shrinking};
use crate::support::{TASKS, adapter};

/// One setting of a method, and what is to be true of its parameters on the tiny Swin.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) config: AdapterConfig,
    /// Names that train.
    pub(crate) trains: &'static [&'static str],
    /// Names that train although no head's output depends on them.
    pub(crate) dead: &'static [&'static str],
    /// Names of the method that merging leaves.
    pub(crate) remain: &'static [&'static str],
    /// Names that merging makes.
    pub(crate) made: &'static [&'static str],
    /// Why a ViT cannot have it.
    pub(crate) not_on_vit: Option<&'static str>,
    /// Why it cannot be merged.
    pub(crate) unmergeable: Option<String>,
    /// Whether no values of its parameters give the plain backbone.
    pub(crate) never_plain: bool,
}

impl Case {
    fn new(name: &'static str, config: AdapterConfig, trains: &'static [&'static str]) -> Self {
        let (dead, remain, made): (&[_], &[_], &[_]) = (&[], &[], &[]);
        let (not_on_vit, unmergeable, never_plain) = (None, None, false);
        Case { name, config, trains, dead, remain, made, not_on_vit, unmergeable, never_plain }
    }

    pub(crate) fn fits(&self, backbone: &BackboneConfig) -> bool {
        backbone.name() == "swin" || self.not_on_vit.is_none()
    }
}

const BODY: [&str; 3] = ["patch_embed.*", "*norm*", "*relative_position_bias_table"];
const MTLORA: &[&str] = &["*lora_*", BODY[0], BODY[1], BODY[2], "*.downsample.reduction.weight"];
const MTLORA_PLUS: &[&str] = &["*lora_*", BODY[0], BODY[1], BODY[2]];
const TADFORMER: &[&str] = &["*tad_*", BODY[0], BODY[1], BODY[2]];
const SINEWICH: &[&str] = &["*sine_*", BODY[0], BODY[1], BODY[2]];
const MERGING: &[&str] =
    &["*sine_*", "*.pdrs_A", "*.pdrs_B", "*.pdrs_theta", BODY[0], BODY[1], BODY[2]];
const COMPOSED: &[&str] =
    &["*tspd_*", "*sine_*", "*.pdrs_A", "*.pdrs_B", "*.pdrs_theta", BODY[0], BODY[1], BODY[2]];
/// `*norm*` would be the ranks of a task `normals` too.
const FAAR_BODY: [&str; 5] = [BODY[0], "*.norm1.*", "*.norm2.*", "*.norm.*", BODY[2]];
const FAAR: &[&str] = &[
    "*tspd_*",
    "*.pdrs_A",
    "*.pdrs_B",
    "*.pdrs_theta",
    FAAR_BODY[0],
    FAAR_BODY[1],
    FAAR_BODY[2],
    FAAR_BODY[3],
    FAAR_BODY[4],
];
const FAAR_LORA: &[&str] =
    &["*.pdrs_A", "*.pdrs_B", FAAR_BODY[0], FAAR_BODY[1], FAAR_BODY[2], FAAR_BODY[3], FAAR_BODY[4]];
/// What no stream reads; the penalty holds its magnitudes.
const FAAR_DEAD: &[&str] = &[
    "layers.1.blocks.1.attn.proj.pdrs_A",
    "layers.1.blocks.1.attn.proj.pdrs_B",
    "layers.1.blocks.1.mlp.fc1.pdrs_A",
    "layers.1.blocks.1.mlp.fc1.pdrs_B",
    "layers.1.blocks.1.mlp.fc2.pdrs_A",
    "layers.1.blocks.1.mlp.fc2.pdrs_B",
];
const DITASK: &[&str] = &["*ditask_*", BODY[0], BODY[1], BODY[2], "*.downsample.reduction.weight"];
const DITASK_DEAD: &[&str] = &[
    "layers.1.blocks.1.attn.proj.ditask_joint",
    "layers.1.blocks.1.mlp.fc1.ditask_joint",
    "layers.1.blocks.1.mlp.fc2.ditask_joint",
];
const DIFF: &[&str] = &["*.diff_w.*", "*.diff_alpha.*", "*.diff_group.*"];
pub(crate) const DEAD: &[&str] =
    &["layers.1.blocks.1.mlp.fc2.lora_shared_A", "layers.1.blocks.1.mlp.fc2.lora_shared_B"];
const DEAD_TRAINABLE: &[&str] = &[DEAD[0], DEAD[1], "layers.1.blocks.1.mlp.fc2.lora_shared_scale"];
const DEAD_NORM: &[&str] =
    &["layers.1.blocks.1.mlp.fc2.lora_norm.bias", "layers.1.blocks.1.mlp.fc2.lora_norm.weight"];
const REMAIN: &[&str] = &[
    "*.lora_task*",
    "*.blocks.1.attn.proj.lora_shared_*",
    "*.blocks.1.mlp.fc1.lora_shared_*",
    "layers.0.blocks.1.mlp.fc2.lora_shared_*",
];
const TABLE: &str = "*.relative_position_bias_table";
const NO_TABLES: &str = "relative_bias: expected a backbone with relative position tables, such as a \
                         Swin, found one without";
const NO_WINDOWS: &str = "adapter: expected a backbone whose windows take prompts of tasks, a Swin of \
                          the first version, found tadformer on one without";

/// A registered method at its example. As for most methods its own parameters train, and those of
/// one that cannot be merged remain; the table has what is otherwise.
fn example(config: AdapterConfig) -> Case {
    let plan = config.plan(&crate::support::tasks(&TASKS), Form::Adapted).unwrap();
    plan.set_progress(1, 1);
    let (name, parameters, unmergeable) = (config.name(), config.parameters(), plan.unmergeable());
    let remain = if unmergeable.is_some() { parameters } else { &[] };
    let case = Case { remain, unmergeable, ..Case::new(name, config, parameters) };
    match name {
        "full" => Case { trains: &["*"], ..case },
        "bitfit" => Case { trains: &["*.bias"], ..case },
        "tadformer" => {
            Case { trains: TADFORMER, not_on_vit: Some(NO_WINDOWS), never_plain: true, ..case }
        }
        "relative_bias" => Case { trains: &[TABLE], not_on_vit: Some(NO_TABLES), ..case },
        "free_sinewich" => {
            Case { trains: SINEWICH, remain: &[], made: &["*.sine_tasks.*"], ..case }
        }
        "pdrs_sinewich" => {
            let made = &["*.sine_tasks.*"];
            Case { trains: COMPOSED, remain: &["*tspd_*"], made, ..case }
        }
        "faar" => {
            let made = &["*.pdrs_tasks.*"];
            Case { trains: FAAR, dead: FAAR_DEAD, remain: &["*tspd_*"], made, ..case }
        }
        "ditask" => {
            let made = &["*.ditask_tasks.*"];
            Case { trains: DITASK, dead: DITASK_DEAD, remain: &[], made, ..case }
        }
        "diff_pruning" => Case { trains: DIFF, ..case },
        "interrogate" => {
            let made = &["*.interro_tasks.*", "*.interro_gate.*", "*.interro_share.*"];
            Case { made, ..case }
        }
        "mode" => Case { made: &["*.mode_tasks.*"], ..case },
        "mtlora" => Case { trains: MTLORA, dead: DEAD, remain: REMAIN, ..case },
        "vmt_adapter" => Case { remain: VMT_REMAIN, made: VMT_MADE, ..case },
        "hyperformer" | "polyhistor" => Case { made: &["*.hyper_tasks.*"], ..case },
        // Its sources are random until they are read.
        "scalearn" => Case { trains: &["*.scalearn_omega"], never_plain: true, ..case },
        "attempt" => {
            Case { trains: &["*.attempt_prompts.*", "*.attempt_G.*"], never_plain: true, ..case }
        }
        "vpt" | "mpt" => Case { never_plain: true, ..case },
        "pdrs" => Case { trains: &["*.pdrs_A", "*.pdrs_B", "*.pdrs_theta"], ..case },
        "progressive" => Case { made: &["*.progressive_tasks.*"], ..case },
        "rcm" => Case { made: &["*.rcm_tasks.*"], ..case },
        _ => case,
    }
}

const BLOCK_LORA: &str =
    "routers read the image, and no weight beside the block can hold what they choose";
const VMT_REMAIN: &[&str] = &["*.vmt_down.*", "*.vmt_up.*"];
const VMT_MADE: &[&str] = &["*.mlp.vmt_up_tasks.*"];

/// Every registered method, and other settings of those that have several forms.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = AdapterConfig::examples().into_iter().map(example).collect();
    cases.extend([
        lora(json!(["q", "v"]), &["*.attn.qkv.q.lora_*", "*.attn.qkv.v.lora_*"]),
        lora(json!("all-linear"), &["*.lora_*"]),
        lora(json!(r".*\.(k|fc1)"), &["*.attn.qkv.k.lora_*", "*.mlp.fc1.lora_*"]),
    ]);
    cases.extend(mtloras());
    cases.extend(vmts());
    let bitfit = adapter(json!({"method": "bitfit", "relative_position_bias": true}));
    cases.push(Case::new("bitfit with tables", bitfit, &["*.bias", TABLE]));
    cases.extend(reparameterised());
    cases.extend(reweighted());
    cases.extend(bottlenecks());
    cases.extend(hypernetworks());
    cases.extend(prompts());
    cases.extend(shrinking());
    cases.extend(parting());
    cases
}
