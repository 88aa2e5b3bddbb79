//! The program has every command, for recipes that name its parts.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recipe.toml");

fn run(folder: &Path, args: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_polyptych-example"));
    program.current_dir(folder).env("OMP_NUM_THREADS", "1").args(args).output().unwrap()
}

fn succeed(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn parts_of_the_program_train_resume_merge_and_go_out() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    succeed(here, &["train", RECIPE, "--out", "run"]);
    let inspected = succeed(here, &["inspect", RECIPE]);
    assert!(inspected.contains("heads.depth"), "{inspected}");
    succeed(here, &["train", "--resume", "run", "--set", "train.steps=8"]);
    let scores = succeed(here, &["eval", "run"]);
    assert!(scores.contains("rmse"), "{scores}");
    succeed(here, &["merge", "run"]);
    succeed(here, &["export", "run", "--format", "onnx", "--out", "model.onnx"]);
    assert!(here.join("model.onnx").exists());
    let listed = succeed(here, &["recipe", "balancers"]);
    assert!(listed.contains("unit_gradients"), "{listed}");
}

#[test]
fn names_that_nobody_registered_are_answered_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let set = ["train", RECIPE, "--set", "adapter={ method = \"ln_tunning\" }"];
    let output = run(folder.path(), &set);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("found ln_tunning: did you mean ln_tuning?"), "{errors}");
    assert!(errors.contains("mtlora"), "{errors}");
}
