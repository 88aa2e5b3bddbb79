//! Rule 5 of the design: memory after 2 N steps, evaluations and saves equals memory after N.
//!
//! The list of methods is the program's own. Sizes, batches and precisions go round, so that every
//! method meets some of them; a cause that lies in one method, one kernel or one size shows.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Child, Command, Output, Stdio};

use common::methods::{VIT, chosen, methods, on_swin_alone};
use common::{alone, try_recipe};
use polyptych_engine::{Evaluation, Observer, Recipe, StepReport, Trainer, memory};

/// Twice N, and steps between evaluations; a save comes with each, and others between them.
const STEPS: [&str; 5] = [
    "train.steps=16",
    "train.eval_every=4",
    "train.save_every=3",
    "train.schedule.warmup_steps=1",
    "data.eval.0.len=2",
];

/// Multiples of a patch and of two windows, and none of them.
const SIZES: [[i64; 2]; 4] = [[32, 32], [64, 64], [40, 56], [72, 48]];
const PRECISIONS: [&str; 3] = ["fp32", "bf16", "fp16"];

/// More than noise of the allocator, less than one checkpoint, evaluation or step that stays.
const SLACK: u64 = 6 << 20;

/// The methods before leave the allocator's pages in pieces, so that one run may take a new piece
/// by chance. What stays with every step is taken in every run.
const TRIES: usize = 3;

/// Processes that share the methods, and the variable that tells one its part.
const PARTS: usize = 2;
const PART: &str = "POLYPTYCH_TEST_PART";

/// Tensors that live, and bytes that are held, at every evaluation.
#[derive(Default)]
struct Watch {
    live: Vec<i64>,
    resident: Vec<u64>,
}

impl Watch {
    fn is_flat(&self) -> bool {
        match self.resident[..] {
            [_, half, _, whole] => whole < half + SLACK,
            // Where the system does not tell.
            _ => true,
        }
    }
}

impl Observer for Watch {
    fn step(&mut self, _report: &StepReport, _steps: u64) {}

    fn evaluated(&mut self, _step: u64, _evaluation: &Evaluation) {
        self.live.push(memory::live_storages());
        self.resident.extend(memory::resident_bytes());
    }

    fn stop(&self) -> bool {
        false
    }
}

#[test]
fn memory_after_twice_the_steps_is_the_same() {
    if let Ok(part) = std::env::var(PART) {
        return measure(part.parse().unwrap());
    }
    let start = |part: usize| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "memory_after_twice_the_steps_is_the_same", "--nocapture"]);
        command.env(PART, part.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let parts: Vec<Child> = (0..PARTS).map(start).collect();
    for part in parts {
        let Output { status, stdout, stderr } = part.wait_with_output().unwrap();
        let said = [stdout, stderr].concat();
        assert!(status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

/// Measures every method of a part, in this process.
fn measure(part: usize) {
    let _alone = alone();
    memory::keep();
    memory::live_storages();
    polyptych_tensor::set_num_threads(1);
    let all = methods();
    for (index, method) in all.iter().enumerate().filter(|(index, _)| index % PARTS == part) {
        let precision = PRECISIONS[index % 3];
        // The plain loops of processors without half precision take a second a step above this.
        let [height, width] = if precision == "fp16" { SIZES[0] } else { SIZES[index % 4] };
        let batch = index % 5 % 3 + 1;
        let name = format!("{method}, {batch} x {height} x {width}, {precision}");
        let sets = [
            chosen(method),
            format!("data.img_size=[{height},{width}]"),
            format!("data.batch_size={batch}"),
            format!("precision=\"{precision}\""),
        ];
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        // A ViT has no relative position tables.
        let backbone: &[&str] = if index % 2 == 0 && !on_swin_alone(method) { &VIT } else { &[] };
        let recipe = try_recipe(&[&STEPS, backbone, &sets].concat());
        let recipe = recipe.unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut tries = (0..TRIES).map(|_| watched(&recipe, &name));
        let grown: Vec<Watch> = tries.by_ref().take_while(|watch| !watch.is_flat()).collect();
        let found: Vec<&Vec<u64>> = grown.iter().map(|watch| &watch.resident).collect();
        assert!(grown.len() < TRIES, "{name}: resident bytes: {found:?}");
    }
}

/// A run to its end, whose tensors are as many behind all steps as behind half of them.
fn watched(recipe: &Recipe, name: &str) -> Watch {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let (mut trainer, _) = Trainer::start(recipe.clone(), None, &path).unwrap();
    let mut watch = Watch::default();
    trainer.run(&mut watch).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (half, whole) = (watch.live[1], watch.live[3]);
    // EMTAL's router lets go of what it saw once it has faded.
    assert!(whole <= half, "{name}: tensors that live at every evaluation: {:?}", watch.live);
    watch
}
