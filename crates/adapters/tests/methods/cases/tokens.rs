//! Prompts, and methods whose tasks part from each other.

use super::*;

const GROUPS: &str =
    "groups: expected one list per stage of the backbone, which has 3 or more, found 2 lists";

pub(super) fn prompts() -> Vec<Case> {
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

/// Methods whose tasks part from each other: in groups, by modulators, by prompts.
pub(super) fn parting() -> Vec<Case> {
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
