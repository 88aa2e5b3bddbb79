//! LoRA, MTLoRA and VMT-Adapter in their several forms.

use super::*;

pub(super) fn lora(target_modules: Value, trains: &'static [&'static str]) -> Case {
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

pub(super) fn mtloras() -> Vec<Case> {
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

pub(super) fn vmts() -> Vec<Case> {
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
