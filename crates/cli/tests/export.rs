//! Weights come from other programs and go to them, checked on the way.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::Playground;

fn peers() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backbones/tests/peers");
    folder.display().to_string()
}

/// Every difference that `written` names, all of which are small.
fn differences(written: &str) -> usize {
    let found = written.lines().filter_map(|line| line.split_once("largest difference "));
    let values = found.map(|(_, rest)| rest.split(' ').next().unwrap().parse::<f64>().unwrap());
    values.inspect(|value| assert!(*value <= 1e-4, "{written}")).count()
}

#[test]
fn a_run_goes_to_timm_peft_torchscript_and_onnx() {
    let playground = Playground::new();
    playground.succeed(&["train", "recipe.toml", "--out", "run"]);
    playground.succeed(&["merge", "run"]);
    let export = |run: &str, format: &str, out: &str| {
        playground.succeed(&["export", run, "--format", format, "--out", out])
    };
    assert_eq!(differences(&export("run", "timm", "timm")), 4);
    assert_eq!(differences(&export("run/merged", "timm", "again")), 4);
    assert_eq!(differences(&export("run", "peft", "peft")), 4);
    for run in ["run", "run/merged"] {
        for format in ["torchscript", "onnx"] {
            let out = format!("{}.{format}", run.replace('/', "-"));
            let written = export(run, format, &out);
            assert!(written.starts_with("semseg: ") && differences(&written) == 1, "{written}");
        }
    }
    let config = std::fs::read_to_string(playground.path("timm/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["architecture"], "swin_tiny_patch4_window7_224");
    assert_eq!(config["model_args"]["depths"], serde_json::json!([2, 2, 6, 2]));
    let message = playground.refused(&["export", "run", "--format", "timm", "--out", "timm"]);
    assert_eq!(message, "timm: expected a new file or folder, found one that exists");
    let message = playground.refused(&["export", "run/merged", "--format", "peft", "--out", "no"]);
    assert!(message.ends_with("found a merged model, whose factors are gone"), "{message}");
    assert!(!playground.path("no").exists());
}

#[test]
fn of_parts_per_task_timm_and_peft_have_what_tasks_share() {
    let playground = Playground::new();
    let method = "adapter={method='mtlora', r=2}";
    playground.succeed(&["train", "recipe.toml", "--out", "run", "--set", method]);
    for format in ["torchscript", "onnx"] {
        let out = format!("run.{format}");
        let written = playground.succeed(&["export", "run", "--format", format, "--out", &out]);
        assert_eq!(differences(&written), 1);
    }
    for format in ["timm", "peft"] {
        let written = playground.succeed(&["export", "run", "--format", format, "--out", format]);
        assert_eq!(differences(&written), 4);
    }
    // There the shared stream is made of the tasks' own.
    let method = "adapter={method='mtlora', r=2, shared_mode='addition'}";
    playground.succeed(&["train", "recipe.toml", "--out", "sum", "--set", method]);
    let message = playground.refused(&["export", "sum", "--format", "timm", "--out", "no"]);
    assert!(message.contains("expected a plain backbone, found parts that stay per task"));
    let message = playground.refused(&["export", "sum", "--format", "peft", "--out", "no"]);
    assert!(message.contains("shared_mode = \"addition\""), "{message}");
}

#[test]
fn a_dora_run_goes_to_peft() {
    let playground = Playground::new();
    let method = "adapter={method='dora', r=2, target_modules=['q', 'v', 'fc1']}";
    playground.succeed(&["train", "recipe.toml", "--out", "run", "--set", method]);
    let written = playground.succeed(&["export", "run", "--format", "peft", "--out", "peft"]);
    assert_eq!(differences(&written), 4);
    let config = std::fs::read_to_string(playground.path("peft/adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["use_dora"], true);
}

#[test]
fn weights_of_others_are_converted() {
    let playground = Playground::new();
    for (name, source) in [
        ("microsoft_swin.pth", "Microsoft's Swin"),
        ("huggingface_dinov2", "Hugging Face's ViT"),
        ("augreg_vit.npz", "AugReg's ViT"),
    ] {
        let (weights, out) = (format!("{}/{name}", peers()), format!("{name}.safetensors"));
        let written = playground.succeed(&["convert", &weights, "--out", &out]);
        assert!(written.starts_with(&format!("{source}: ")), "{written}");
        assert_eq!(differences(&written), 2);
    }
    let left_out = playground.succeed(&[
        "convert",
        &format!("{}/microsoft_swin.pth", peers()),
        "--out",
        "again.safetensors",
    ]);
    assert!(left_out.contains("left out: layers.0.blocks.0.attn.relative_position_index, "));
    let (base, adapter) = ("huggingface_vit", "peft_huggingface_lora");
    let [base, adapter] = [base, adapter].map(|name| format!("{}/{name}", peers()));
    let args = ["convert", &base, "--adapter", &adapter, "--out", "folded.safetensors"];
    assert_eq!(differences(&playground.succeed(&args)), 2);
    let message = playground.refused(&["convert", &adapter, "--out", "no.safetensors"]);
    assert!(message.ends_with("which `polyptych convert --adapter` folds"), "{message}");
}

#[test]
fn weights_that_do_not_fit_say_so() {
    let playground = Playground::new();
    let refused = |weights: &str| {
        let weights = format!("backbone.weights='{weights}'");
        playground.refused(&["train", "recipe.toml", "--out", "run", "--set", &weights])
    };
    let message = refused(&format!("{}/huggingface_vit", peers()));
    assert!(message.contains("weights: expected a Swin of 32 channels and [2, 2, 6, 2] blocks"));
    let name = "swin_tiny_patch4_window7_224.ms_in22k";
    let args = ["convert", name, "--out", "no.safetensors"];
    let mut program = common::program(&playground.path(""));
    let offline = program.args(args).env("HF_HUB_OFFLINE", "1").env("HF_HOME", "nowhere");
    let message = String::from_utf8(offline.output().unwrap().stderr).unwrap();
    assert!(message.contains("expected them in nowhere/hub/models--timm--swin_tiny"), "{message}");
    assert!(message.contains("resolve/main/model.safetensors and set"), "{message}");
}
