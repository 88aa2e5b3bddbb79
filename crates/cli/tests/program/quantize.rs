//! A merged model in int8: written, measured, opened, exported and refused.
use crate::common::Playground;
use polyptych_formats::file;

/// A merged model and its quantised form, in which all maps are of int8.
fn quantized(activations: &str) -> (Playground, String) {
    let playground = Playground::new();
    playground.succeed(&["train", "recipe.toml", "--out", "run"]);
    playground.succeed(&["merge", "run"]);
    let data = ["--calibrate", "toy/images", "--out", "small", "--max-drop", "0.5"];
    let args = [&["quantize", "run/merged", "--activations", activations], &data[..]].concat();
    let said = playground.succeed(&args);
    (playground, said)
}

fn headline(playground: &Playground, model: &str) -> f64 {
    let scores = playground.succeed(&["eval", model, "--json"]);
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    scores["tasks"][0]["scores"][0]["value"].as_f64().unwrap()
}

fn report(playground: &Playground) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(playground.path("small/quantize.json")).unwrap()).unwrap()
}

#[test]
fn a_quantised_model_is_measured_and_opens_as_any_merged_one() {
    for activations in ["dynamic", "static"] {
        let (playground, said) = quantized(activations);
        assert!(said.starts_with("semseg: miou ") && said.ends_with("small\n"), "{said}");
        let report = report(&playground);
        assert_eq!(report["activations"], activations);
        let layers = report["layers"].as_array().unwrap();
        assert!(said.contains(&format!("{0} of {0} linear maps in int8", layers.len())), "{said}");
        let errors: Vec<f64> = layers.iter().map(|l| l["error"].as_f64().unwrap()).collect();
        assert!(errors.is_sorted_by(|a, b| a >= b) && errors.iter().all(|e| *e > 0.0 && *e < 0.1));
        let task = &report["tasks"][0];
        assert!(
            (headline(&playground, "run/merged") - task["before"].as_f64().unwrap()).abs() < 1e-9
        );
        assert!((headline(&playground, "small") - task["after"].as_f64().unwrap()).abs() < 1e-9);
        let tensors = file::load(&playground.path("small/model.safetensors")).unwrap().tensors;
        let name = "backbone.layers.0.blocks.0.attn.qkv";
        let kind = |part: &str| tensors[&format!("{name}.{part}")].kind();
        use polyptych_tensor::Kind;
        assert_eq!((kind("weight"), kind("weight_scale")), (Kind::Int8, Kind::Float));
        assert_eq!((kind("input_scale"), kind("input_zero_point")), (Kind::Float, Kind::Uint8));
        assert!(report["bytes_after"].as_u64() < report["bytes_before"].as_u64());
        playground.succeed(&["predict", "small", "toy/images/train/a.jpg", "--out", "seen"]);
        assert!(playground.path("seen/a.png").exists());
        let shown = playground.succeed(&["inspect", "small"]);
        assert!(shown.contains("linear maps in int8; output errors"), "{shown}");
        let merge = |model: &str| std::fs::read(playground.path(model).join("merge.json")).unwrap();
        assert_eq!(merge("small"), merge("run/merged"));
    }
}

#[test]
fn what_cannot_be_quantised_is_refused_by_name() {
    let (playground, _) = quantized("dynamic");
    let quantize = |model: &str, data: &str| {
        playground.refused(&["quantize", model, "--calibrate", data, "--out", "no"])
    };
    let message = quantize("run", "toy/images");
    assert_eq!(
        message,
        "run: expected a merged model, found a trained run: run `polyptych merge` first"
    );
    let message = quantize("small", "toy/images");
    assert_eq!(message, "small: expected a merged model, found a quantised one");
    let message = quantize("run/merged", "toy/labels/absent.jpg");
    assert!(message.starts_with("toy/labels/absent.jpg: "), "{message}");
    std::fs::create_dir(playground.path("empty")).unwrap();
    let message = quantize("run/merged", "empty");
    assert!(message.starts_with("empty: calibration: expected JPEG, PNG"), "{message}");
    let none = ["quantize", "run/merged", "--calibrate", "toy/images", "--out", "no"];
    let message = playground.refused(&[&none[..], &["--num-samples", "0"]].concat());
    assert!(message.ends_with("at least 1, found 3 and --num-samples 0"), "{message}");
    let message = playground.refused(&[&none[..], &["--max-drop=-1"]].concat());
    assert_eq!(message, "quantize: max_drop: expected a number from 0 on, found -1");
    assert!(!playground.path("no").exists());
    for format in ["timm", "peft", "torchscript"] {
        let args = ["export", "small", "--format", format, "--out", "no"];
        let message = playground.refused(&args);
        assert!(
            message.starts_with("small: expected ONNX as the format of a quantised"),
            "{message}"
        );
    }
    let learn = "backbone.weights=\"small\"";
    let message = playground.refused(&["train", "recipe.toml", "--out", "no", "--set", learn]);
    assert!(
        message.contains("expected weights that can learn, found a quantised model"),
        "{message}"
    );
    let message = playground.refused(&["train", "--resume", "small"]);
    assert!(
        message.contains("expected weights that can learn, found a quantised model"),
        "{message}"
    );
    let message = playground.refused(&["merge", "small"]);
    assert_eq!(message, "small: expected a trained run, found a merged model");
}

#[test]
fn a_damaged_quantised_model_is_refused() {
    let (playground, _) = quantized("dynamic");
    let path = playground.path("small/model.safetensors");
    let whole = file::load(&path).unwrap();
    let mut tensors = whole.tensors;
    tensors.remove("backbone.layers.0.blocks.0.attn.qkv.input_scale");
    file::save(&path, &tensors, whole.metadata).unwrap();
    let message = playground.refused(&["eval", "small"]);
    assert!(
        message.ends_with("attn.qkv.input_scale: expected [1] of Float, found none"),
        "{message}"
    );
}

/// Largest difference between the probe's outputs and onnxruntime's, as a part of the largest.
const COMPARE: &str = "
import sys, numpy, onnxruntime, safetensors.numpy
ours = safetensors.numpy.load_file(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])
names = [output.name for output in session.get_outputs()]
found = session.run(names, {'image': ours['images']})
pairs = [(ours['output.' + name], theirs) for name, theirs in zip(names, found)]
print(max(numpy.abs(a - b).max() / numpy.abs(a).max() for a, b in pairs))
";

#[test]
fn onnx_has_the_bytes_and_onnxruntime_reads_them() {
    for activations in ["dynamic", "static"] {
        let (playground, _) = quantized(activations);
        let args = ["export", "small", "--format", "onnx", "--out", "small.onnx"];
        let said = playground.succeed(&[&args[..], &["--probe", "probe.safetensors"]].concat());
        assert!(said.starts_with("semseg: largest difference "), "{said}");
        let [bytes, merged] = ["small/model.safetensors", "run/merged/model.safetensors"]
            .map(|name| std::fs::metadata(playground.path(name)).unwrap().len());
        let onnx = std::fs::metadata(playground.path("small.onnx")).unwrap().len();
        assert!(onnx < bytes + (merged - bytes) / 2, "{onnx} {bytes} {merged}");
        let python = std::env::var("POLYPTYCH_PYTHON").unwrap_or_else(|_| "python3".into());
        let call = |args: &[&str]| {
            std::process::Command::new(&python).current_dir(playground.path("")).args(args).output()
        };
        let imports = "import numpy, safetensors, onnxruntime";
        if !call(&["-c", imports]).is_ok_and(|output| output.status.success()) {
            println!("skipped: {python} lacks one of numpy, safetensors and onnxruntime");
            return;
        }
        if !sums_exactly() {
            println!(
                "skipped: without VNNI, onnxruntime's sums of int8 products saturate at 16 bits"
            );
            return;
        }
        let output = call(&["-c", COMPARE, "small.onnx", "probe.safetensors"]).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let difference: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        assert!(difference < 1e-3, "{difference}");
    }
}

/// Whether onnxruntime sums products of bytes in 32 bits here.
fn sums_exactly() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        true
    }
}
