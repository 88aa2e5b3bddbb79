//! Methods that change the weights of layers.

use super::*;

pub(super) fn reparameterised() -> Vec<Case> {
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

pub(super) fn reweighted() -> Vec<Case> {
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

pub(super) fn shrinking() -> Vec<Case> {
    let case = |name, form: &str, trains| {
        let fields = json!({"method": "pdrs", "r": 3, "form": form});
        Case::new(name, adapter(fields), trains)
    };
    let composed = json!({"method": "pdrs_sinewich", "shared": {"r": 3}, "switched": {"r": 3}});
    let composed = Case {
        made: &["*.sine_tasks.*"],
        ..Case::new("pdrs_sinewich, no spectra", adapter(composed), MERGING)
    };
    let factors: &[_] = &["*.pdrs_A", "*.pdrs_B"];
    let dora: &[_] = &["*.pdrs_A", "*.pdrs_B", "*.pdrs_theta"];
    let faar = json!({"method": "faar", "r": 3, "task_r": 2, "form": "lora", "filters": false});
    let faar = Case {
        made: &["*.pdrs_tasks.*"],
        dead: FAAR_DEAD,
        ..Case::new("faar, lora without filters", adapter(faar), FAAR_LORA)
    };
    vec![case("pdrs, lora", "lora", factors), case("pdrs, dora", "dora", dora), composed, faar]
}
