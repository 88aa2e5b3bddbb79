//! Shipped recipes whose backbones have no test of their own take steps, smaller and with drawn
//! weights.
use crate::common::Playground;

#[test]
fn dense_recipes_of_several_backbones_take_two_steps() {
    let playground = Playground::new();
    for name in ["dinov2-vits-dense", "dinov3-vits-dense", "swinv2-tiny-dense", "pvtv2-b0-dense"] {
        let small = [
            "device=cpu",
            "backbone.weights=none",
            "data.img_size=[56, 64]",
            "data.batch_size=2",
            "data.train.0.len=4",
            "data.train.0.height=64",
            "data.train.0.width=64",
            "data.eval.0.len=1",
            "data.eval.0.height=64",
            "data.eval.0.width=64",
            "train.steps=2",
            "train.eval_every=2",
            "train.save_every=2",
            "train.schedule.warmup_steps=1",
        ];
        let set = small.iter().flat_map(|field| ["--set", *field]);
        let args: Vec<&str> = ["train", name, "--out", name].into_iter().chain(set).collect();
        let table = playground.succeed(&args);
        for task in ["semseg", "human_parts", "normals", "depth"] {
            assert!(table.contains(&format!("| {task} ")), "{name}: {table}");
        }
        let log = playground.path(&format!("{name}/metrics.jsonl"));
        let log = std::fs::read_to_string(log).unwrap();
        let lines =
            log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let steps: Vec<_> = lines.filter(|line| line.get("grad_norm").is_some()).collect();
        assert_eq!(steps.len(), 2, "{name}: {log}");
        for step in steps {
            let losses = step["losses"].as_object().unwrap();
            assert_eq!(losses.len(), 4, "{name}: {step}");
            // What is not finite is null.
            let finite = losses.values().all(|loss| loss.is_f64()) && step["grad_norm"].is_f64();
            assert!(finite && step["skipped"] == false, "{name}: {step}");
        }
    }
}
