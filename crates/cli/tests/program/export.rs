//! Weights come from other programs and go to them, checked on the way.
use std::path::Path;

use crate::common::Playground;

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
            says_what_leads_to_our_numbers(&playground.path(&format!("{out}.json")));
            gives_our_numbers(&playground, run, &out);
        }
    }
    says_what_leads_to_our_numbers(&playground.path("timm/polyptych.json"));
    let config = std::fs::read_to_string(playground.path("timm/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["architecture"], "swin_tiny_patch4_window7_224");
    assert_eq!(config["pretrained_cfg"]["interpolation"], "bicubic");
    assert_eq!(config["pretrained_cfg"]["crop_mode"], "squash");
    assert_eq!(config["model_args"]["depths"], serde_json::json!([2, 2, 6, 2]));
    let message = playground.refused(&["export", "run", "--format", "timm", "--out", "timm"]);
    assert_eq!(message, "timm: expected a new file or folder, found one that exists");
    let message =
        playground.refused(&["export", "run", "--format", "onnx", "--out", "absent/model.onnx"]);
    assert!(message.starts_with("absent: No such file or directory"), "{message}");
    let message = playground.refused(&["export", "run/merged", "--format", "peft", "--out", "no"]);
    assert!(message.ends_with("found a merged model, whose factors are gone"), "{message}");
    assert!(!playground.path("no").exists());
}

/// 120 pixels are 30, 15, 8 and 4 positions; rounded down, they were 7 and 3 in the end.
#[test]
fn sizes_that_do_not_halve_travel_and_models_of_the_old_rule_do_not() {
    let playground = Playground::new();
    let size = "data.img_size=[120, 100]";
    playground.succeed(&["train", "recipe.toml", "--out", "run", "--set", size]);
    playground.succeed(&["merge", "run"]);
    let args = ["export", "run/merged", "--format", "timm", "--out", "timm"];
    assert_eq!(differences(&playground.succeed(&args)), 4);
    let path = playground.path("run/merged/model.safetensors");
    let mut model = std::fs::read(&path).unwrap();
    let key = b"swin_stage_resolution";
    let at = model.windows(key.len()).position(|part| part == key).unwrap();
    model[at] = b'x';
    std::fs::write(&path, model).unwrap();
    let args = ["export", "run/merged", "--format", "timm", "--out", "old"];
    let message = playground.refused(&args);
    assert!(message.contains("those of an earlier version, rounded down to "), "{message}");
    let args = ["train", "recipe.toml", "--out", "odd", "--set", "data.img_size=[122, 100]"];
    playground.succeed(&args);
    let message = playground.refused(&["export", "odd", "--format", "timm", "--out", "no"]);
    assert!(message.contains("expected sides of images that patches of 4 divide"), "{message}");
}

fn says_what_leads_to_our_numbers(path: &Path) {
    let settings: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let pre = &settings["preprocess"];
    assert_eq!(pre["size"].as_array().unwrap().len(), 2);
    assert_eq!(pre["resize"]["filter"], "bicubic");
    assert_eq!((&pre["resize"]["a"], &pre["resize"]["antialias"]), (&(-0.5).into(), &true.into()));
    assert_eq!(&pre["channel_order"], "RGB");
    assert_eq!(pre["mean"][0].as_f64().map(|mean| (mean * 1e3).round()), Some(485.0));
    let output = &settings["tasks"]["semseg"]["output"];
    assert_eq!((&output["name"], &output["activation"]), (&"semseg".into(), &"argmax".into()));
    assert_eq!(output["resize"]["mode"], "bilinear");
    assert!(!settings["tasks"]["semseg"]["classes"].as_array().unwrap().is_empty());
}

/// Compares what the script beside `out` gives with `predict --raw`: the share of equal values.
const COMPARE: &str = "
import sys, numpy, safetensors.numpy
ours, theirs = safetensors.numpy.load_file(sys.argv[1]), numpy.load(sys.argv[2])
assert sorted(ours) == sorted(theirs), (sorted(ours), sorted(theirs))
assert all(ours[task].shape == theirs[task].shape for task in ours)
print(min((ours[task] == theirs[task]).mean() for task in ours))
";

/// Runs the script where there is a Python with its packages (`POLYPTYCH_PYTHON`, else `python3`).
fn gives_our_numbers(playground: &Playground, run: &str, out: &str) {
    let python = std::env::var("POLYPTYCH_PYTHON").unwrap_or_else(|_| "python3".into());
    let package = if out.ends_with("onnx") { "onnxruntime" } else { "torch" };
    let imports = format!("import numpy, PIL, safetensors, {package}");
    let call = |args: &[&str]| {
        std::process::Command::new(&python).current_dir(playground.path("")).args(args).output()
    };
    if !call(&["-c", &imports]).is_ok_and(|output| output.status.success()) {
        println!("skipped: {python} lacks one of numpy, PIL, safetensors and {package}");
        return;
    }
    let photograph = playground.path("other.png");
    image::open(playground.photograph("a")).unwrap().save(&photograph).unwrap();
    let photograph = photograph.to_str().unwrap();
    let (raw, theirs) = (format!("{out}.raw"), format!("{out}.npz"));
    playground.succeed(&["predict", run, photograph, "--out", &raw, "--raw"]);
    let script = format!("{out}.py");
    let done = call(&[&script, photograph, &theirs]).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let raw = format!("{raw}/other.safetensors");
    let done = call(&["-c", COMPARE, &raw, &theirs]).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let same: f64 = String::from_utf8(done.stdout).unwrap().trim().parse().unwrap();
    assert!(same > 0.99, "{out}: {same} of all values are the same");
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
    let args = ["convert", &base, "--adapter", &adapter, "--out", "merged.safetensors"];
    assert_eq!(differences(&playground.succeed(&args)), 2);
    let message = playground.refused(&["convert", &adapter, "--out", "no.safetensors"]);
    assert!(message.ends_with("which `polyptych convert --adapter` merges"), "{message}");
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
    let mut program = crate::common::program(&playground.path(""));
    let offline = program.args(args).env("HF_HUB_OFFLINE", "1").env("HF_HOME", "nowhere");
    let message = String::from_utf8(offline.output().unwrap().stderr).unwrap();
    assert!(message.contains("expected them in nowhere/hub/models--timm--swin_tiny"), "{message}");
    assert!(message.contains("resolve/main/model.safetensors and set"), "{message}");
}

/// Without network: where a text tower's weights and its tokenizer are looked for.
#[test]
fn repositories_of_text_towers_are_looked_for_in_the_shared_cache() {
    let playground = Playground::new();
    for (key, file) in [("weights", "model.safetensors"), ("tokenizer", "tokenizer.json")] {
        let set = format!("text.{key}='hf-hub:me/clip'");
        let args = ["train", "retrieval-quickstart", "--out", "run", "--set", &set];
        let mut program = crate::common::program(&playground.path(""));
        let offline = program.args(args).env("HF_HUB_OFFLINE", "1").env("HF_HOME", "nowhere");
        let message = String::from_utf8(offline.output().unwrap().stderr).unwrap();
        let expected = format!("expected {file} in nowhere/hub/models--me--clip, found none");
        assert!(message.contains(&expected), "{message}");
        assert!(message.contains(&format!("me/clip/resolve/main/{file} and name it")), "{message}");
    }
}
