//! The numbers of a line of `metrics.jsonl`, by name.
//!
//! | name | number |
//! |---|---|
//! | `train/loss`, `train/lr`, `train/grad_norm`, `train/step_ms`, `train/loss_scale`, `train/penalty` | of a step |
//! | `loss/<task>` | loss of a task, not weighted |
//! | `weight/<task>` | what the balancer made of the task |
//! | `evaluation/<task>/<metric>`, `evaluation/delta_m` | of an evaluation |
//! | `conflict/<group>/<task>.<task>` | cosine of two tasks' gradients |
//! | `memory/resident_mib`, `memory/peak_resident_mib` | of the process |

use serde_json::{Map, Value};

/// Bytes in a MiB.
pub(crate) const MIB: f64 = (1u64 << 20) as f64;

/// Fields of a step's line and their names.
const STEP: [(&str, &str); 7] = [
    ("loss", "train/loss"),
    ("lr", "train/lr"),
    ("grad_norm", "train/grad_norm"),
    ("wall_ms", "train/step_ms"),
    ("loss_scale", "train/loss_scale"),
    ("penalty", "train/penalty"),
    ("distillation", "train/distillation"),
];

/// Fields of other lines, in bytes.
const BYTES: [(&str, &str); 2] = [
    ("resident_bytes", "memory/resident_mib"),
    ("peak_resident_bytes", "memory/peak_resident_mib"),
];

/// All numbers of `line` that are finite, in a fixed order; what is `null` has none.
pub(crate) fn scalars(line: &Value) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    let mut push = |name: String, value: &Value| {
        let number = value.as_f64().filter(|number| number.is_finite());
        found.extend(number.map(|number| (name, number)));
    };
    if line.get("evaluation").is_none() {
        STEP.iter().for_each(|(key, name)| push((*name).into(), &line[*key]));
    }
    for (key, scope) in [("losses", "loss"), ("weights", "weight")] {
        entries(&line[key]).for_each(|(task, value)| push(format!("{scope}/{task}"), value));
    }
    for (task, score) in scores(&line["evaluation"]) {
        push(format!("evaluation/{task}/{}", text(&score["name"])), &score["value"]);
    }
    push("evaluation/delta_m".into(), &line["evaluation"]["delta_m"]["percent"]);
    for (name, cosine) in cosines(&line["conflict"]) {
        push(name, cosine);
    }
    for (key, name) in BYTES {
        let mib = line[key].as_f64().map_or(Value::Null, |bytes| (bytes / MIB).into());
        push(name.into(), &mib);
    }
    found
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn scores(evaluation: &Value) -> impl Iterator<Item = (&str, &Value)> {
    items(&evaluation["tasks"])
        .flat_map(|task| items(&task["scores"]).map(|score| (text(&task["task"]), score)))
}

fn cosines(conflict: &Value) -> Vec<(String, &Value)> {
    let tasks: Vec<&str> = items(&conflict["tasks"]).map(text).collect();
    let mut found = Vec::new();
    for group in items(&conflict["groups"]) {
        for (i, one) in tasks.iter().enumerate() {
            for (j, other) in tasks.iter().enumerate().skip(i + 1) {
                let name = format!("conflict/{}/{one}.{other}", text(&group["group"]));
                found.push((name, &group["cosines"][i][j]));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(line: &Value) -> Vec<(String, f64)> {
        scalars(line)
    }

    #[test]
    fn a_step_has_its_losses_and_no_number_where_there_is_no_label() {
        let line = json!({"step": 3, "lr": 0.5, "loss": 2.0, "losses": {"depth": 1.5, "sal": null},
            "grad_norm": 4.0, "wall_ms": 8.0, "skipped": false, "weights": {"depth": 0.25}});
        let expected = [
            ("train/loss", 2.0),
            ("train/lr", 0.5),
            ("train/grad_norm", 4.0),
            ("train/step_ms", 8.0),
            ("loss/depth", 1.5),
            ("weight/depth", 0.25),
        ];
        assert_eq!(named(&line), expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn evaluations_conflicts_and_memory_have_names() {
        let score = json!({"name": "miou", "value": 40.0, "higher_is_better": true, "unit": "%"});
        let tasks = json!([{"task": "semseg", "scores": [score]}]);
        let line = json!({"step": 3, "evaluation": {"tasks": tasks, "delta_m": {"percent": -2.0}},
            "resident_bytes": 2 << 20, "wall_ms": 5.0});
        let expected = [
            ("evaluation/semseg/miou", 40.0),
            ("evaluation/delta_m", -2.0),
            ("memory/resident_mib", 2.0),
        ];
        assert_eq!(named(&line), expected.map(|(name, value)| (name.to_owned(), value)));
        let groups = json!([{"group": "layers.0", "cosines": [[1.0, -0.5], [-0.5, 1.0]]}]);
        let line = json!({"step": 3, "conflict": {"tasks": ["a", "b"], "groups": groups}});
        assert_eq!(named(&line), [("conflict/layers.0/a.b".to_owned(), -0.5)]);
    }
}
