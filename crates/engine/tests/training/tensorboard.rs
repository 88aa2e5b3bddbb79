//! The real TensorBoard reads what a run writes, resumed in the middle.
use std::path::Path;
use std::process::Command;

use crate::common::{Until, alone, recipe};
use polyptych_engine::Trainer;
use serde_json::Value;

/// Prints the scalars by tag as `[step, value]`, the sizes of images by tag, and the sessions that
/// the plugin for hyper-parameters finds.
const READER: &str = r#"
import json, sys
from tensorboard.backend.event_processing import data_provider
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import backend_context
from tensorboard import context
m = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={"scalars": 0, "images": 0})
m.AddRunsFromDirectory(sys.argv[1])
m.Reload()
provider = data_provider.MultiplexerDataProvider(m, sys.argv[1])
ctx = context.RequestContext()
scalars = provider.read_scalars(ctx, experiment_id="", plugin_name="scalars", downsample=100000)
blobs = provider.read_blob_sequences(ctx, experiment_id="", plugin_name="images", downsample=100)
images = {}
for run, tags in blobs.items():
    for tag, data in tags.items():
        images[tag] = []
        for datum in data:
            values = [provider.read_blob(ctx, blob_key=v.blob_key) for v in datum.values]
            images[tag].append([datum.step, int(values[0]), int(values[1]), values[2][:4].hex()])
backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
runs = backend.hparams_metadata(ctx, "")
experiment = backend.experiment_from_metadata(ctx, "", True, runs, [])
print(json.dumps({
    "scalars": {t: [[d.step, d.value] for d in ds] for ts in scalars.values() for t, ds in ts.items()},
    "images": images,
    "sessions": [sorted(tags) for tags in runs.values()],
    "hparams": [info.name for info in experiment.hparam_infos],
    "metrics": [info.name.tag for info in experiment.metric_infos],
}))
"#;

/// What the package says of a folder; nothing where it is not installed.
fn read(folder: &Path) -> Option<Value> {
    let python = std::env::var("POLYPTYCH_PYTHON").unwrap_or_else(|_| "python3".into());
    let known = Command::new(&python).args(["-c", "import tensorboard"]).output();
    if !known.is_ok_and(|output| output.status.success()) {
        println!("skipped: {python} lacks the package tensorboard");
        return None;
    }
    let output = Command::new(&python).arg("-c").arg(READER).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

const BALANCED: [&str; 3] = [
    "balancer={loss={name=\"dwa\", epoch_steps=2}}",
    "train.conflict_every=2",
    "train.eval_every=3",
];

#[test]
fn tensorboard_reads_a_resumed_run() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let (mut first, _) = Trainer::start(recipe(&BALANCED), None, &path).unwrap();
    // As after a cut: the log has a step that no checkpoint has.
    first.run(&mut Until { until: 4, ..Until::default() }).unwrap();
    drop(first);
    std::fs::remove_dir_all(path.join("checkpoints/step-00000004")).unwrap();
    let mut second = Trainer::resume(&path).unwrap();
    second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();

    let table = std::fs::read_to_string(path.join("metrics.csv")).unwrap();
    let steps = |text: &str| -> Vec<String> {
        let rows = text.lines().skip(1).filter(|row| !row.starts_with("step"));
        rows.map(|row| row.split(',').next().unwrap().to_owned()).collect()
    };
    let mut found = steps(&table);
    found.dedup();
    assert_eq!(found, ["1", "2", "3", "4", "5", "6"]);
    for column in ["train/lr", "loss/depth", "weight/semseg", "evaluation/semseg/miou"] {
        assert!(table.lines().next().unwrap().contains(column), "{table}");
    }
    let calls = std::fs::read_to_string(path.join("provenance.json")).unwrap();
    let calls: Vec<Value> = serde_json::from_str(&calls).unwrap();
    assert_eq!((calls.len(), &calls[1]["step"]), (2, &3.into()));

    let Some(read) = read(folder.path()) else { return };
    let steps = |tag: &str| -> Vec<i64> {
        let points = read["scalars"][tag].as_array().unwrap_or_else(|| panic!("{tag}: {read}"));
        points.iter().map(|point| point[0].as_i64().unwrap()).collect()
    };
    for tag in ["train/loss", "train/lr", "loss/depth", "loss/semseg", "weight/depth"] {
        assert_eq!(steps(tag), [1, 2, 3, 4, 5, 6], "{tag}");
    }
    assert_eq!(steps("evaluation/semseg/miou"), [3, 6]);
    assert_eq!(steps("conflict/all/depth.semseg"), [2, 4, 6]);
    assert_eq!(steps("memory/peak_resident_mib"), [6]);
    let log = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let last: Value = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["step"] == 6 && line["losses"].is_object())
        .unwrap();
    let written = read["scalars"]["loss/depth"][5][1].as_f64().unwrap();
    assert!((written - last["losses"]["depth"].as_f64().unwrap()).abs() < 1e-6);

    let images = read["images"].as_object().unwrap();
    assert_eq!(images.len(), 3, "one for each sample of the evaluation: {read}");
    for shown in images.values() {
        let shown = shown.as_array().unwrap();
        assert_eq!((shown.len(), &shown[1][0], &shown[1][3]), (2, &6.into(), &"89504e47".into()));
    }
    let session = ["_hparams_/session_end_info", "_hparams_/session_start_info"];
    assert_eq!(read["sessions"], serde_json::json!([session]));
    let has =
        |key: &str, name: &str| read[key].as_array().unwrap().iter().any(|found| found == name);
    assert!(has("hparams", "adapter.r") && has("hparams", "train.lr"), "{read}");
    assert!(has("metrics", "evaluation/semseg/miou"), "{read}");
}

#[test]
fn event_files_can_be_left_out() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let recipe = recipe(&["train.tensorboard=false", "train.steps=2"]);
    crate::common::train(recipe, &path);
    let names = std::fs::read_dir(&path).unwrap();
    let names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| !name.contains("tfevents")), "{names:?}");
    assert!(names.contains(&"metrics.csv".to_owned()), "{names:?}");
}
