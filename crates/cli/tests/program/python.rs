//! The Python module against the program that this test built.
//!
//! Needs an interpreter with pytest and torch of the program's version: `POLYPTYCH_PYTHON`. Without,
//! the test says so.
use std::path::Path;
use std::process::{Command, Output};

use image::RgbImage;

use crate::common::Playground;

/// What the tests of the module import, and the version of torch.
const IMPORTS: &str = "import numpy, PIL, pytest, safetensors, torch; print(torch.__version__)";

#[test]
fn its_own_tests_pass() {
    let Some(python) = interpreter() else { return };
    let playground = Playground::new();
    playground.succeed(&["train", "recipe.toml", "--out", "run"]);
    let photograph = playground.path("photograph.png");
    RgbImage::from_fn(48, 40, |x, y| image::Rgb([x as u8 * 5, y as u8 * 6, 99]))
        .save(&photograph)
        .unwrap();
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let mut command = Command::new(&python);
    command
        .current_dir(playground.path(""))
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .arg(module.join("tests"))
        .envs([("PYTHONPATH", module), ("POLYPTYCH_RUN", playground.path("run"))])
        .envs([("PYTHONDONTWRITEBYTECODE", "1"), ("OMP_NUM_THREADS", "1")])
        .env("POLYPTYCH_PHOTOGRAPH", photograph)
        .env("POLYPTYCH_PROGRAM", env!("CARGO_BIN_EXE_polyptych"));
    let Output { status, stdout, stderr } = isolated(&mut command).output().unwrap();
    let [said, errors] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(status.success(), "{said}{errors}");
    assert!(said.contains(" passed") && !said.contains("skipped"), "{said}");
}

/// The interpreter that `POLYPTYCH_PYTHON` names, if it has all that the tests need.
fn interpreter() -> Option<String> {
    let python = std::env::var("POLYPTYCH_PYTHON").ok();
    let found = python.filter(|python| {
        let output = isolated(Command::new(python).args(["-c", IMPORTS])).output();
        output.is_ok_and(|output| {
            let version = String::from_utf8_lossy(&output.stdout).into_owned();
            let (number, _) = version.trim().split_once('+').unwrap_or((version.trim(), ""));
            output.status.success() && number == polyptych_engine::torch_version()
        })
    });
    if found.is_none() {
        println!("skipped: POLYPTYCH_PYTHON names no Python with pytest, safetensors and torch");
    }
    found
}

/// Without the libraries of another LibTorch in front of those of torch.
fn isolated(command: &mut Command) -> &mut Command {
    command.env_remove("LD_LIBRARY_PATH")
}
