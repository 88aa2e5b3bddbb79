//! What holds for every method: it starts as the plain backbone, trains what it declares and
//! nothing else, merges without changing outputs, and survives a file.
use std::collections::{BTreeSet, HashMap};

use polyptych_adapters::{AdapterConfig, Form, is_method_parameter};
use polyptych_backbones::{BackboneConfig, Intermediates, Options};
use polyptych_formats::file;
use polyptych_tensor::optim::{AdamW, AdamWConfig, Optimiser, decay_groups};
use polyptych_tensor::{Device, Kind, Store, Tensor, manual_seed, matches};
use serde_json::{Value, json};

use crate::support::{
    Built, TASKS, TOLERANCE, adapter, alone, close, difference, image, random, redraw, snapshot,
};

/// One setting of a method, and what is to be true of its parameters on the tiny Swin.
struct Case {
    name: &'static str,
    config: AdapterConfig,
    /// Names that train.
    trains: &'static [&'static str],
    /// Names that train although no head's output depends on them.
    dead: &'static [&'static str],
    /// Names of the method that merging leaves.
    remain: &'static [&'static str],
    /// Names that merging makes.
    made: &'static [&'static str],
    /// Why a ViT cannot have it.
    not_on_vit: Option<&'static str>,
    /// Why it cannot be merged.
    unmergeable: Option<String>,
    /// Whether no values of its parameters give the plain backbone.
    never_plain: bool,
}

impl Case {
    fn new(name: &'static str, config: AdapterConfig, trains: &'static [&'static str]) -> Self {
        let (dead, remain, made): (&[_], &[_], &[_]) = (&[], &[], &[]);
        let (not_on_vit, unmergeable, never_plain) = (None, None, false);
        Case { name, config, trains, dead, remain, made, not_on_vit, unmergeable, never_plain }
    }

    fn fits(&self, backbone: &BackboneConfig) -> bool {
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
const DITASK: &[&str] = &["*ditask_*", BODY[0], BODY[1], BODY[2], "*.downsample.reduction.weight"];
const DITASK_DEAD: &[&str] = &[
    "layers.1.blocks.1.attn.proj.ditask_joint",
    "layers.1.blocks.1.mlp.fc1.ditask_joint",
    "layers.1.blocks.1.mlp.fc2.ditask_joint",
];
const DIFF: &[&str] = &["*.diff_w.*", "*.diff_alpha.*", "*.diff_group.*"];
const DEAD: &[&str] =
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
        "pdrs_sinewich" => Case { trains: MERGING, remain: &[], made: &["*.sine_tasks.*"], ..case },
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

const GROUPS: &str =
    "groups: expected one list per stage of the backbone, which has 3 or more, found 2 lists";

const BLOCK_LORA: &str =
    "routers read the image, and no weight beside the block can hold what they choose";

const VMT_REMAIN: &[&str] = &["*.vmt_down.*", "*.vmt_up.*"];
const VMT_MADE: &[&str] = &["*.mlp.vmt_up_tasks.*"];

fn lora(target_modules: Value, trains: &'static [&'static str]) -> Case {
    let config = adapter(json!({"method": "lora", "r": 2, "target_modules": target_modules}));
    Case::new("lora", config, trains)
}

fn mtlora(name: &'static str, more: Value) -> Case {
    let mut fields = json!({
        "method": "mtlora",
        "r": 3,
        "r_per_task": {"semseg": 2, "normals": 4},
        "scale_per_task": {"edge": 0.5},
    });
    let more = more.as_object().unwrap().clone();
    fields.as_object_mut().unwrap().extend(more);
    Case { dead: DEAD, remain: REMAIN, ..Case::new(name, adapter(fields), MTLORA) }
}

const STAGES: &str = "r: expected one number per stage of the backbone, 3, found 2 numbers";

/// As the published files have it: one number per stage, of the two that backbones here have.
fn per_stage() -> Value {
    json!({
        "r": [3, 2], "r_per_task": {"semseg": [2, 1], "normals": 4}, "scale": [4.0, 0.5],
        "scale_per_task": {"edge": [0.5, 2.0]}, "lora_dropout": [0.05, 0.1],
    })
}

fn mtloras() -> Vec<Case> {
    let mode = |name: &'static str| mtlora(name, json!({"shared_mode": name}));
    vec![
        mode("matrix"),
        Case { dead: &[], remain: &["*.lora_task*"], ..mode("matrixv2") },
        Case { dead: DEAD_NORM, remain: &["*.lora_task*", "*.lora_norm.*"], ..mode("addition") },
        Case { dead: &[], remain: &[], ..mode("lora_only") },
        Case { trains: MTLORA_PLUS, ..mtlora("mtlora+", json!({"downsampler": true})) },
        Case { dead: DEAD_TRAINABLE, ..mtlora("trainable", json!({"learnable_scale": true})) },
        Case { not_on_vit: Some(STAGES), ..mtlora("per stage", per_stage()) },
    ]
}

fn vmt(name: &'static str, more: Value) -> Case {
    let mut fields = json!({"method": "vmt_adapter", "bottleneck": {"fixed": 4}});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Case {
        remain: VMT_REMAIN,
        made: VMT_MADE,
        ..Case::new(name, adapter(fields), &["*.mlp.vmt_*"])
    }
}

fn vmts() -> Vec<Case> {
    // What a shared core or a tied pair lacks, merging makes.
    vec![
        vmt("vmt", json!({"input": "residual"})),
        vmt("vmt, all blocks", json!({"ke_blocks": "all", "activation": "gelu"})),
        vmt("vmt, output", json!({"knowledge_extraction": "output", "scale": 0.5})),
        vmt("vmt, linear", json!({"knowledge_extraction": "linear", "learnable_scale": true})),
        Case {
            made: &["*.mlp.vmt_up_tasks.*", "*.vmt_up.weight"],
            ..vmt("vmt, tied", json!({"projections": "tied"}))
        },
        vmt("vmt, core", json!({"projections": {"shared_core": {"rank": 3}}})),
    ]
}

/// Every registered method, and other settings of those that have several forms.
fn cases() -> Vec<Case> {
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

fn reparameterised() -> Vec<Case> {
    let dora = |targets: Value| {
        adapter(json!({"method": "dora", "r": 2, "lora_alpha": 4, "target_modules": targets}))
    };
    let all = ["qkv", "proj", "fc1", "fc2", "reduction"];
    let ssf_all = adapter(json!({"method": "ssf", "sites": all, "norms": true}));
    let shifts = &["*.downsample.reduction.ssf_shift"];
    vec![
        Case::new("dora", dora(json!("all-linear")), &["*.lora_*"]),
        Case::new("dora q, v", dora(json!(["q", "v"])), &["*.qkv.q.lora_*", "*.qkv.v.lora_*"]),
        Case { remain: shifts, ..Case::new("ssf everywhere", ssf_all, &["*.ssf_*", "*norm*"]) },
    ]
}

fn bottlenecks() -> Vec<Case> {
    let reason = "the bottlenecks are not linear, so that no weight can hold them";
    let case = |name, fields: Value, trains| {
        let remain: &[_] = &["*adapter_*"];
        Case {
            remain,
            unmergeable: Some(reason.into()),
            ..Case::new(name, adapter(fields), trains)
        }
    };
    let compacter = |mh_adapter: bool| json!({"method": "compacter", "phm_dim": 2, "reduction_factor": 4, "mh_adapter": mh_adapter});
    let (both, mlp): (&[_], &[_]) =
        (&["*.attn.proj.adapter_*", "*.mlp.fc2.adapter_*"], &["*.mlp.fc2.adapter_*"]);
    let phm = json!({"method": "phm", "phm_dim": 2, "reduction_factor": 4});
    let low_rank = json!({"method": "low_rank_adapter", "rank": 2, "reduction_factor": 4});
    let adaptformer = |more: [Value; 3]| json!({"method": "adaptformer", "bottleneck": 4, "layernorm_option": more[0], "input": more[1], "learnable_scale": more[2]});
    let beside: &[_] = &["*.mlp.adapter_*"];
    vec![
        case("adapter", json!({"method": "adapter", "reduction_factor": 4}), both),
        case("adapter, mlp", json!({"method": "adapter", "mh_adapter": false}), mlp),
        case("adaptformer", json!({"method": "adaptformer", "bottleneck": 4}), beside),
        case("adaptformer, in", adaptformer([json!("in"), json!("residual"), json!(true)]), beside),
        case(
            "adaptformer, out",
            adaptformer([json!("out"), json!("normed"), json!(false)]),
            beside,
        ),
        case("low rank", low_rank, both),
        case("phm", phm, both),
        case("compacter", compacter(true), &["*.adapter_*", "adapter_phm_rule"]),
        case("compacter++", compacter(false), &["*.mlp.fc2.adapter_*", "adapter_phm_rule"]),
    ]
}

fn reweighted() -> Vec<Case> {
    let lora = adapter(
        json!({"method": "sine_lora", "r": 2, "frequency": 50.0, "target_modules": ["q", "v", "fc2"]}),
    );
    let trains: &[_] = &["*.qkv.q.sine_*", "*.qkv.v.sine_*", "*.fc2.sine_*"];
    let plain = json!({"method": "free_sinewich", "r": 3, "core": false, "low_pass": false, "freeze_norm": true, "freeze_patch_embed": true, "freeze_relative_position_bias": true});
    let sinewich = Case::new("free_sinewich, plain", adapter(plain), &["*sine_*"]);
    let taps = adapter(json!({"method": "taps", "r": 2, "bias": false, "target_modules": ["fc1"]}));
    let tasks = json!({"method": "mode", "num_experts": 3, "p": 4, "shared_down": false, "target_modules": ["fc1", "fc2"]});
    let tokens = json!({"method": "mode", "p": 2, "routing": "token"});
    let free = json!({"method": "ditask", "cells": 4, "task_cells": 5, "free_end": true});
    let diagonal = json!({"method": "mor1e", "r": 4, "guide": "nothing"});
    let by_task = json!({"method": "moore", "r": 2, "router_dim": 0, "token_dim": 4});
    let still =
        json!({"method": "moore", "r": 0, "router_dim": 3, "target_modules": ["qkv", "fc2"]});
    let shared = json!({"method": "ase", "num_experts": 5, "shared_experts": 2, "lora_r": 0});
    let released = json!({"method": "block_lora", "r": 2, "num_experts": 3, "router": "token", "regularizer": "scaled_identity"});
    let reason = "routers read every token, and no weight can hold what they choose";
    vec![
        Case {
            made: &["*.mode_tasks.*"],
            ..Case::new("molora by task", adapter(tasks), &["*.fc1.mode_*", "*.fc2.mode_*"])
        },
        Case {
            remain: &["*mode_*"],
            unmergeable: Some(reason.into()),
            ..Case::new("mode by token", adapter(tokens), &["*mode_*"])
        },
        Case {
            remain: &["*mor1e_*"],
            unmergeable: Some(reason.into()),
            ..Case::new("mor1e, diagonal", adapter(diagonal), &["*mor1e_*"])
        },
        Case {
            made: &["*.moore_tasks.*"],
            ..Case::new("moore by task", adapter(by_task), &["*moore_*"])
        },
        Case {
            remain: &["*moore_*"],
            unmergeable: Some(reason.into()),
            ..Case::new(
                "moore, no reflections",
                adapter(still),
                &["*.qkv.moore_*", "*.fc2.moore_*"],
            )
        },
        Case {
            remain: &["*ase_*"],
            unmergeable: Some(reason.into()),
            ..Case::new("ase, two shared", adapter(shared), &["*ase_*"])
        },
        Case {
            remain: &["*block_lora_*"],
            unmergeable: Some(BLOCK_LORA.into()),
            ..Case::new("block_lora, released", adapter(released), &["*block_lora_*"])
        },
        Case::new("taps, low rank", taps, &["*.fc1.taps_*"]),
        Case {
            trains: DITASK,
            dead: DITASK_DEAD,
            made: &["*.ditask_tasks.*"],
            ..Case::new("ditask, free end", adapter(free), &[])
        },
        Case::new("sine_lora q, v", lora, trains),
        Case { made: &["*.sine_tasks.*"], ..sinewich },
    ]
}

fn hypernetworks() -> Vec<Case> {
    let case = |name, mut fields: Value, more: Value| {
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = &["*.hyper_tasks.*"];
        Case { made, ..Case::new(name, adapter(fields), &["*hyper_*"]) }
    };
    let hyperformer = |name, more| {
        let (e, hidden, rho) = (4, 16, 4);
        let fields = json!({"method": "hyperformer", "embedding_dim": e, "hidden_dim": hidden, "reduction_factor": rho});
        case(name, fields, more)
    };
    let polyhistor = |name, more| {
        let fields =
            json!({"method": "polyhistor", "embedding_dim": 4, "rank": 2, "reduction_factor": 4});
        case(name, fields, more)
    };
    vec![
        hyperformer("hyperformer, blocks", json!({"hypernetworks": "block", "bias": "layer"})),
        hyperformer(
            "hyperformer, no norm",
            json!({"conditional_layer_norm": false, "mh_adapter": false}),
        ),
        polyhistor("polyhistor, blocks", json!({"hypernetworks": "block", "bias": "generated"})),
        polyhistor("polyhistor-lite", json!({"lite": true})),
        polyhistor("polyhistor-lite, both", json!({"lite": true, "mh_adapter": true})),
    ]
}

fn prompts() -> Vec<Case> {
    let case = |name, deep: bool, trains| {
        let config = adapter(json!({"method": "vpt", "num_tokens": 5, "deep": deep}));
        let reason = "prompts are tokens among an image's, and no weight can hold them";
        let unmergeable = Some(reason.into());
        let (remain, never_plain): (&[_], _) = (&["*vpt_*"], true);
        Case { remain, unmergeable, never_plain, ..Case::new(name, config, trains) }
    };
    let (first, every): (&[_], &[_]) = (&["layers.0.blocks.0.vpt_prompts"], &["*.vpt_prompts"]);
    let filtered = |filter: &str| {
        let fields = json!({"method": "tadformer", "r": 2, "lora_dropout": 0.0, "filter": filter});
        Case { name: "tadformer, other filters", ..example(adapter(fields)) }
    };
    let tadformers = [filtered("static"), filtered("none")];
    let vpts = [case("vpt, five", false, first), case("vpt, deep", true, every)];
    vpts.into_iter().chain(tadformers).collect()
}

fn shrinking() -> Vec<Case> {
    let case = |name, form: &str, trains| {
        let fields = json!({"method": "pdrs", "r": 3, "form": form});
        Case::new(name, adapter(fields), trains)
    };
    let composed = json!({"method": "pdrs_sinewich", "shared": {"r": 3}, "switched": {"r": 3}, "spectra": {"bins": 3}});
    let composed = Case {
        remain: &["*tspd_*"],
        made: &["*.sine_tasks.*"],
        ..Case::new("pdrs_sinewich, spectra", adapter(composed), COMPOSED)
    };
    let factors: &[_] = &["*.pdrs_A", "*.pdrs_B"];
    let dora: &[_] = &["*.pdrs_A", "*.pdrs_B", "*.pdrs_theta"];
    vec![case("pdrs, lora", "lora", factors), case("pdrs, dora", "dora", dora), composed]
}

/// Methods whose tasks part from each other: in groups, by modulators, by prompts.
fn parting() -> Vec<Case> {
    let groups = json!([[["semseg", "normals"], ["edge"]], [["normals"], ["semseg"], ["edge"]]]);
    let groups = adapter(json!({"method": "progressive", "r": 2, "groups": groups}));
    let full = adapter(
        json!({"method": "rcm", "normalized_feature_fusion": false, "target_modules": ["fc1", "proj"]}),
    );
    let deep = adapter(
        json!({"method": "mpt", "deep": true, "num_tokens": 3, "prompt": "own", "lora_r": 2}),
    );
    let reason = "prompts are tokens among an image's, and no weight can hold them";
    let shared = adapter(json!({"method": "scalearn", "sources": 3, "variant": "plus_plus"}));
    let mixed = json!({"method": "attempt", "mix": "adapters", "sources": 3, "reduction_factor": 4, "temperature": 1.0, "non_linearity": "gelu"});
    let every_image = "every image has shares of its own in the adapters, which no weight can hold";
    let not_linear = "the bottlenecks are not linear, so that no weight can hold them";
    vec![
        Case {
            remain: &["*scalearn_*"],
            unmergeable: Some(not_linear.into()),
            never_plain: true,
            ..Case::new("scalearn++", shared, &["scalearn_omega_*"])
        },
        Case {
            remain: &["*attempt_*"],
            unmergeable: Some(every_image.into()),
            never_plain: true,
            ..Case::new(
                "attempt, adapters",
                adapter(mixed),
                &["*.attempt_adapters.*", "attempt_G.*"],
            )
        },
        Case {
            made: &["*.progressive_tasks.*"],
            not_on_vit: Some(GROUPS),
            ..Case::new("progressive, groups", groups, &["*.progressive_*"])
        },
        Case {
            made: &["*.rcm_tasks.*"],
            ..Case::new("rcm, full", full, &["*.fc1.rcm_V.*", "*.proj.rcm_V.*"])
        },
        Case {
            remain: &["*mpt_*"],
            unmergeable: Some(reason.into()),
            never_plain: true,
            ..Case::new("mpt, deep", deep, &["*.mpt_prompts.*", "*.mpt_lora_*"])
        },
    ]
}

/// Every stream that a head can read, by level and task, and the shared ones.
fn streams(out: &Intermediates) -> Vec<(String, Tensor)> {
    let level = |(index, level): (usize, &polyptych_tensor::Activations)| {
        let task = |t: usize| (format!("level {index}, {}", TASKS[t]), level.task(t as i64));
        let shared = level.shared().map(Tensor::shallow_clone);
        let shared = shared.map(|shared| (format!("level {index}, shared"), shared));
        (0..TASKS.len()).map(task).chain(shared).collect::<Vec<_>>()
    };
    out.levels.iter().enumerate().flat_map(level).collect()
}

/// Gives every parameter of the method a value that shows in the outputs.
fn set_off(built: &Built) {
    // The same values whatever was drawn before: units of a narrow bottleneck may all be dead.
    polyptych_tensor::manual_seed(1);
    let trainable = built.store.trainable().into_iter().map(|(name, _)| name);
    let trainable: BTreeSet<String> = trainable.filter(|name| is_method_parameter(name)).collect();
    // What selects layers stays, or some layers would have no effect at all.
    let selects = |name: &str| {
        ["taps_s", "diff_alpha", "diff_group", "interro_alpha", "mor1e_omega", "mor1e_gate"]
            .iter()
            .any(|s| name.contains(s))
    };
    redraw(&built.store, 0.1, |name| trainable.contains(name) && !selects(name));
}

#[test]
fn a_methods_parameters_are_marked_where_they_are_made() {
    let _alone = alone();
    for (architecture, backbone) in
        [("swin", crate::support::swin()), ("vit", crate::support::vit())]
    {
        for case in cases().into_iter().filter(|case| case.fits(&backbone)) {
            for form in [Form::Adapted, Form::Merged] {
                let built = Built::adapted(&backbone, &case.config, form);
                for parameter in &built.parameters {
                    let name = &parameter.name;
                    let what = format!("{architecture}, {}, {form:?}: {name}", case.name);
                    assert_eq!(parameter.adapter, is_method_parameter(name), "{what}");
                }
            }
        }
    }
}

#[test]
fn every_method_starts_as_the_plain_backbone() {
    let _alone = alone();
    for (architecture, backbone) in
        [("swin", crate::support::swin()), ("vit", crate::support::vit())]
    {
        for case in cases().into_iter().filter(|case| case.fits(&backbone)) {
            let adapted = Built::adapted(&backbone, &case.config, Form::Adapted);
            // Addition is not the identity by its formula; its norm at zero has to make it so.
            // EMTAL's factors both start at random values, and its router is not gone yet.
            redraw(&adapted.store, 0.0, |name| {
                ["lora_norm", "lora_B"].iter().any(|p| name.contains(p))
            });
            adapted.plan.set_progress(1, 1);
            let plain = Built::plain(&backbone, adapted.plan.pyramid());
            let weights =
                adapted.tensors().into_iter().filter(|(name, _)| !is_method_parameter(name));
            plain.load(&weights.collect());
            let image = image();
            let (found, expected) = (adapted.eval(&image), plain.eval(&image));
            let expected: HashMap<String, Tensor> = streams(&expected).into_iter().collect();
            for (what, found) in streams(&found) {
                let expected = &expected[&what];
                // A stack of streams may be multiplied in other blocks than one stream is.
                if case.never_plain {
                    assert!(difference(&found, expected) > TOLERANCE, "{}, {what}", case.name);
                    continue;
                }
                let by_task =
                    ["free_sinewich", "pdrs_sinewich", "ditask"].contains(&case.config.name());
                let stacked = architecture == "swin" || by_task || adapted.plan.keeps_streams();
                // What is shared is a mixture of the tasks' streams.
                let mixed = case.config.name() == "interrogate";
                let exact = (what.ends_with("shared") && !mixed) || !stacked;
                let what = format!("{architecture}, {}, {what}", case.name);
                // MoORE puts weights together again of their singular vectors.
                let near = if case.config.name() == "moore" { TOLERANCE } else { 1e-6 };
                close(&what, &found, expected, if exact { 0.0 } else { near });
            }
        }
    }
}

#[test]
fn what_trains_is_what_the_method_declares() {
    let _alone = alone();
    for case in cases() {
        let built = Built::adapted(&crate::support::swin(), &case.config, Form::Adapted);
        let names: Vec<String> = built.tensors().into_keys().collect();
        let expected = names.iter().filter(|name| matches(case.trains, name)).cloned();
        let found = built.store.trainable().into_iter().map(|(name, _)| name);
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{}", case.name);
        for pattern in case.trains {
            assert!(names.iter().any(|name| matches(&[pattern], name)), "{}: {pattern}", case.name);
        }
    }
}

/// Mean squared distance of all task streams to random targets, and the method's own term: they reach
/// every parameter.
fn loss(built: &Built) -> Tensor {
    let out = built.backbone.forward_intermediates(&image(), true).unwrap();
    let distance = |t: Tensor| (&t - random(&t.size())).square().mean(Kind::Float);
    let tasks = streams(&out).into_iter().filter(|(what, _)| !what.ends_with("shared"));
    let losses = tasks.map(|(_, stream)| distance(stream)).chain(built.plan.penalty());
    losses.reduce(|a, b| a + b).unwrap()
}

/// Dropout and stochastic depth draw the same, once a seed is set.
#[test]
fn blocks_that_are_run_again_change_no_bit() {
    let _alone = alone();
    for backbone in
        [crate::support::swin(), crate::support::vit()].map(|b| b.with_drop_path_rate(0.3))
    {
        for case in cases().into_iter().filter(|case| case.fits(&backbone)) {
            let plain = Built::adapted(&backbone, &case.config, Form::Adapted);
            set_off(&plain);
            let plan = case.config.plan(&crate::support::tasks(&TASKS), Form::Adapted).unwrap();
            let options =
                Options { features_only: true, grad_checkpointing: true, ..Options::default() };
            let again = Built::with(&backbone, plan, options);
            again.load(&plain.tensors());
            let [expected, found] = [&plain, &again].map(|built| {
                manual_seed(5);
                let loss = loss(built);
                if loss.requires_grad() {
                    loss.backward();
                }
                loss
            });
            assert!(found.equal(&expected), "{}", case.name);
            let pairs = plain.store.trainable().into_iter().zip(again.store.trainable());
            for ((name, expected), (_, found)) in pairs {
                let [expected, found] = [expected.grad(), found.grad()];
                assert_eq!(expected.defined(), found.defined(), "{}: {name}", case.name);
                let same = !expected.defined() || found.equal(&expected);
                assert!(same, "{}: {name}", case.name);
            }
        }
    }
}

#[test]
fn a_step_moves_what_trains_and_leaves_the_rest_bit_for_bit() {
    let _alone = alone();
    for case in cases().into_iter().filter(|case| !case.trains.is_empty()) {
        let built = Built::adapted(&crate::support::swin(), &case.config, Form::Adapted);
        set_off(&built);
        let before = snapshot(&built.store);
        loss(&built).backward();
        let trainable = built.store.trainable();
        let mut optimiser = AdamW::new(AdamWConfig::default(), decay_groups(trainable, 0.05));
        optimiser.step(1e-2).unwrap();
        for (name, after) in built.tensors() {
            let moved = !after.equal(&before[&name]);
            let moves = matches(case.trains, &name) && !case.dead.contains(&name.as_str());
            assert_eq!(moved, moves, "{}: {name}", case.name);
        }
    }
}

#[test]
fn gradients_reach_all_that_trains_but_the_dead_ends() {
    let _alone = alone();
    for backbone in [crate::support::swin(), crate::support::vit()] {
        let fits = |case: &Case| !case.trains.is_empty() && case.fits(&backbone);
        for case in cases().into_iter().filter(fits) {
            let built = Built::adapted(&backbone, &case.config, Form::Adapted);
            set_off(&built);
            loss(&built).backward();
            let without = |(name, tensor): (String, Tensor)| {
                let grad = tensor.grad();
                let reached = grad.defined() && grad.abs().max().double_value(&[]) > 0.0;
                (!reached).then_some(name)
            };
            let found: BTreeSet<String> =
                built.store.trainable().into_iter().filter_map(without).collect();
            assert_eq!(found, dead_ends(&backbone, &case), "{}", case.name);
            built.store.check_gradients().unwrap();
        }
    }
}

fn dead_ends(backbone: &BackboneConfig, case: &Case) -> BTreeSet<String> {
    let name = |name: &&str| match backbone.name() {
        "vit" => name.replace("layers.1.blocks.1", "blocks.2"),
        _ => (*name).to_owned(),
    };
    case.dead.iter().map(name).collect()
}

#[test]
fn merging_changes_no_output() {
    let _alone = alone();
    for case in cases() {
        let backbone = crate::support::swin();
        let built = Built::adapted(&backbone, &case.config, Form::Adapted);
        built.plan.set_progress(1, 1);
        assert_eq!(built.plan.unmergeable(), case.unmergeable, "{}", case.name);
        // Weights as small as fresh ones would make the norms amplify rounding.
        redraw(&built.store, 0.3, |name| !is_method_parameter(name) && !name.contains("norm"));
        let image = image();
        let start = streams(&built.eval(&image));
        set_off(&built);
        let before = snapshot(&built.store);
        let tensors = built.merged();
        for (name, tensor) in built.tensors() {
            assert!(tensor.equal(&before[&name]), "{}: {name} changed by merging", case.name);
        }
        let merged = Built::adapted(&backbone, &case.config, Form::Merged);
        merged.load(&tensors);
        let (expected, found) = (streams(&built.eval(&image)), streams(&merged.eval(&image)));
        for (index, (what, found)) in found.iter().enumerate() {
            let expected = &expected[index].1;
            if built.tensors().keys().any(|name| is_method_parameter(name)) {
                let effect = difference(expected, &start[index].1);
                assert!(effect > 20.0 * TOLERANCE, "{}, {what}: effect {effect}", case.name);
            }
            // The shared stream behind a dropped dead end is nobody's.
            if what != "level 1, shared" || !case.dead.contains(&DEAD[0]) {
                let largest = expected.abs().max().double_value(&[]).max(1.0);
                let what = format!("{}, {what}", case.name);
                close(&what, &(found / largest), &(expected / largest), TOLERANCE);
            }
        }
    }
}

#[test]
fn merging_leaves_only_what_cannot_be_merged() {
    let _alone = alone();
    for case in cases() {
        let built = Built::adapted(&crate::support::swin(), &case.config, Form::Adapted);
        let merged = built.merged();
        let (made, found): (Vec<String>, Vec<String>) = merged
            .into_keys()
            .filter(|name| is_method_parameter(name))
            .partition(|n| matches(case.made, n));
        for pattern in case.made {
            assert!(made.iter().any(|name| matches(&[pattern], name)), "{}: {pattern}", case.name);
        }
        let may_stay = |name: &String| {
            is_method_parameter(name) && matches(case.remain, name) && !matches(case.made, name)
        };
        let expected = built.tensors().into_keys().filter(may_stay);
        assert_eq!(found, expected.collect::<Vec<_>>(), "{}", case.name);
    }
}

#[test]
fn a_model_survives_its_file() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for case in cases() {
        let built = Built::adapted(&crate::support::swin(), &case.config, Form::Adapted);
        set_off(&built);
        file::save(&path, &built.tensors(), HashMap::new()).unwrap();
        let back = Built::adapted(&crate::support::swin(), &case.config, Form::Adapted);
        back.load(&file::load(&path).unwrap().tensors);
        let image = image();
        let (expected, found) = (streams(&built.eval(&image)), streams(&back.eval(&image)));
        for ((what, found), (_, expected)) in found.iter().zip(&expected) {
            assert!(found.equal(expected), "{}: {what}", case.name);
        }
    }
}

#[test]
fn methods_without_a_place_in_a_vit_are_refused() {
    let _alone = alone();
    for case in cases() {
        let plan = case.config.plan(&crate::support::tasks(&TASKS), Form::Adapted).unwrap();
        let options = Options { features_only: true, ..Options::default() };
        let root = Store::new(Device::Cpu).root();
        let built = crate::support::vit().build(&root, plan.as_ref(), options);
        let refusal = built.err().map(|error| error.to_string());
        assert_eq!(refusal.as_deref(), case.not_on_vit, "{}", case.name);
    }
}
