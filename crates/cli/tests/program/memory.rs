//! Rule 5 of the design for the program itself, whose allocator keeps what tensors free: memory
//! after 2 N steps, evaluations and saves equals memory after N, whatever the sizes of tensors are.
use std::thread;

use crate::common::{Playground, program};
use serde_json::Value;

/// Steps of a run; it evaluates and saves eight times.
const STEPS: u64 = 96;
const EVERY: u64 = STEPS / 8;

/// What one evaluation or checkpoint takes, and no more than noise beside what a step once left.
const SLACK: u64 = 4 << 20;

const LORA: &str = "adapter={method=\"lora\",r=4,lora_alpha=4.0,target_modules=[\"qkv\",\"fc1\"]}";
const FULL: &str = "adapter={method=\"full\"}";
const VMT: &str = "adapter={method=\"vmt_adapter\"}";
const MTLORA: &str = "adapter.lora_dropout=0.1";

/// How the method differs from the recipe's, side, images of a batch, precision.
type Run = (&'static str, u32, u32, &'static str);
const RUNS: [Run; 8] = [
    (MTLORA, 64, 2, "fp32"),
    (FULL, 64, 2, "fp32"),
    (MTLORA, 72, 2, "bf16"),
    (FULL, 40, 2, "bf16"),
    (VMT, 56, 3, "fp32"),
    (LORA, 48, 2, "fp32"),
    (MTLORA, 32, 2, "fp32"),
    (FULL, 48, 1, "fp16"),
];

#[test]
fn a_run_twice_as_long_holds_no_more_memory() {
    // Each run is a process of its own, with one thread.
    for pair in RUNS.chunks(2) {
        thread::scope(|scope| pair.iter().for_each(|run| drop(scope.spawn(|| is_flat(*run)))));
    }
}

fn is_flat((method, side, batch, precision): Run) {
    let name = format!("{method}, {batch} x {side} x {side}, {precision}");
    let held = train(method, side, batch, precision);
    assert_eq!(held.len() as u64, STEPS / EVERY, "{name}");
    let (half, whole) = (held[3], held[7]);
    assert!(whole < half + SLACK, "{name}: resident bytes at each evaluation: {held:?}");
}

/// Resident bytes at each evaluation of a run.
fn train(method: &str, side: u32, batch: u32, precision: &str) -> Vec<u64> {
    let playground = Playground::new();
    let scenes = |split: &str, len: u32| {
        format!(
            "data.{split}=[{{dataset=\"scenes\",seed=0,split=\"{split}\",len={len},height={side},\
             width={side}}}]"
        )
    };
    let sets = [
        method.to_owned(),
        format!("data.img_size=[{side},{side}]"),
        format!("data.batch_size={batch}"),
        scenes("train", 8),
        scenes("eval", 2).replace("split=\"eval\"", "split=\"val\""),
        format!("precision=\"{precision}\""),
        format!("train.steps={STEPS}"),
        format!("train.eval_every={EVERY}"),
        format!("train.save_every={EVERY}"),
        "compare=[]".into(),
        "baselines=\"\"".into(),
    ];
    let mut command = program(&playground.path(""));
    command.args(["train", "quickstart", "--out", "run"]);
    command.args(sets.iter().flat_map(|set| ["--set", set])).env("OMP_NUM_THREADS", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let log = std::fs::read_to_string(playground.path("run/metrics.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| line.get("resident_bytes")?.as_u64()).collect()
}
