//! Bottlenecks beside layers, and hypernetworks that make them.

use super::*;

pub(super) fn bottlenecks() -> Vec<Case> {
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

pub(super) fn hypernetworks() -> Vec<Case> {
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
