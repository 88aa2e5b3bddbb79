//! Every command does what its help says, on a data set of one's own.
use crate::common::Playground;

#[test]
fn a_run_from_training_to_merged_predictions() {
    let playground = Playground::new();
    let table = playground.succeed(&["train", "recipe.toml", "--out", "run"]);
    assert!(table.contains("| semseg | miou [%] | higher is better |"), "{table}");

    let before: serde_json::Value =
        serde_json::from_str(&playground.succeed(&["eval", "run", "--json"])).unwrap();
    let merged = playground.succeed(&["merge", "run"]);
    assert!(merged.contains("semseg: largest difference "), "{merged}");
    let after: serde_json::Value =
        serde_json::from_str(&playground.succeed(&["eval", "run/merged", "--json"])).unwrap();
    let miou = |v: &serde_json::Value| v["tasks"][0]["scores"][0]["value"].as_f64().unwrap();
    assert!((miou(&before) - miou(&after)).abs() <= 1e-4);
    assert!(playground.succeed(&["eval", "run", "--best"]).contains("pixel_accuracy"));

    let args = ["predict", "run/merged", "toy/images/train", "--out", "seen", "--raw", "--bare"];
    let written = playground.succeed(&args);
    assert_eq!(written.lines().count(), 6, "{written}");
    let picture = image::open(playground.path("seen/b.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (16 + 4 + 16, 16));
    assert!(playground.path("seen/c.safetensors").exists());
}

#[test]
fn tasks_are_stored_as_differences_and_drawn_layer_by_layer() {
    let playground = Playground::new();
    let taps = "adapter={ method = \"taps\", r = 2 }";
    playground.succeed(&["train", "recipe.toml", "--out", "run", "--set", taps]);
    let drawn = playground.succeed(&["inspect", "run"]);
    assert!(drawn.contains("semseg") && drawn.contains("layers.0.blocks.0.attn.qkv"), "{drawn}");
    assert!(drawn.lines().last().unwrap().ends_with("100.0%"), "{drawn}");
    let message = playground.refused(&["inspect", "run", "--set", "seed=1"]);
    assert!(message.contains("expected no --set and no --tasks with a run"), "{message}");
    playground.succeed(&["report", "run", "--samples", "0"]);
    let page = std::fs::read_to_string(playground.path("run/report.html")).unwrap();
    assert!(page.contains("Layers of tasks"));

    let stored = playground.succeed(&["delta", "run"]);
    assert!(stored.contains("% of the backbone)"), "{stored}");
    let file = "run/deltas/delta.safetensors";
    let message = playground.refused(&["merge", file]);
    assert!(message.contains("name a file of its backbone by --weights"), "{message}");
    let message = playground.refused(&["merge", "run", "--weights", "x"]);
    assert!(message.contains("--weights: expected none with a run"), "{message}");
    playground.succeed(&["merge", "run"]);
    let weights = "run/merged/backbone.safetensors";
    let message = playground.refused(&["merge", file, "--weights", weights]);
    assert!(message.contains("expected the backbone that"), "{message}");
    let message = playground.refused(&["prune", "run"]);
    assert!(message.contains("expected one that prunes, interrogate, found taps"), "{message}");
}

#[test]
fn closed_gates_are_pruned() {
    let playground = Playground::new();
    let gates = "adapter={ method = \"interrogate\", r = 2, task_r = 2, alpha_init = 0.0 }";
    playground.succeed(&["train", "recipe.toml", "--out", "run", "--set", gates]);
    let pruned = playground.succeed(&["prune", "run", "--images", "1", "--passes", "1"]);
    assert!(pruned.contains("multiply-adds per image"), "{pruned}");
    assert!(playground.succeed(&["eval", "run/pruned"]).contains("miou"));
}

#[test]
fn resuming_a_finished_run_says_so() {
    let playground = Playground::new();
    playground.succeed(&["train", "recipe.toml", "--out", "run"]);
    let output = playground.run(&["train", "--resume", "run"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("all 4 steps are done"));
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_says_how_to_go_on() {
    use std::io::{BufRead, BufReader};
    let playground = Playground::new();
    let args = ["train", "recipe.toml", "--out", "run", "--set", "train.steps=100000"];
    let mut child = crate::common::program(&playground.path(""))
        .args(args)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    lines.find(|line| line.starts_with("step 1/100000")).unwrap();
    let pid = child.id().to_string();
    assert_eq!(handled(&pid), 0, "a handler's frame may be written over the heap");
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let rest: Vec<String> = lines.collect();
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(130), "{rest:?}");
    let said = |start: &str| rest.iter().position(|line| line.starts_with(start)).unwrap();
    assert!(said("interrupt: finishing this step") < said("stopped after step "), "{rest:?}");
    let hint = &rest[said("stopped after step ")];
    assert!(hint.ends_with("continue with: polyptych train --resume run"), "{hint}");
    assert!(playground.succeed(&["eval", "run"]).contains("miou"));
}

/// Which of SIGHUP, SIGINT and SIGTERM the process handles on whatever thread they meet: bits of
/// the system's mask, whose first one is SIGHUP's.
#[cfg(unix)]
fn handled(pid: &str) -> u64 {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return 0 };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & (1 | 1 << 1 | 1 << 14)
}

#[test]
fn recipes_are_listed_shown_copied_and_counted() {
    let playground = Playground::new();
    let list = playground.succeed(&["recipe", "list"]);
    assert!(list.lines().count() >= 5 && list.starts_with("quickstart "), "{list}");
    let column = |line: &str| line.find("  ").map(|at| line.len() - line[at..].trim_start().len());
    let columns: std::collections::BTreeSet<_> = list.lines().map(column).collect();
    assert_eq!(columns.len(), 1, "{list}");
    let text = playground.succeed(&["recipe", "show", "quickstart"]);
    playground.succeed(&["recipe", "copy", "quickstart", "mine.toml"]);
    assert_eq!(std::fs::read_to_string(playground.path("mine.toml")).unwrap(), text);
    let message = playground.refused(&["recipe", "copy", "quickstart", "mine.toml"]);
    assert_eq!(message, "mine.toml: expected a new file, found one that exists");
    let balancers = playground.succeed(&["recipe", "balancers"]);
    let names: Vec<&str> = polyptych_engine::balancers().iter().map(|info| info.name).collect();
    let listed = balancers.lines().skip(1).map(|line| line.split(' ').next().unwrap());
    assert_eq!(listed.collect::<Vec<_>>(), names);
    assert!(balancers.contains("pcgrad       gram      Gram matrix "), "{balancers}");
    let summary = playground.succeed(&["inspect", "quickstart"]);
    assert!(summary.contains("backbone, adapter"), "{summary}");
    let json = playground.succeed(&["inspect", "recipe.toml", "--json"]);
    assert!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["rows"].is_array());
}

#[test]
fn the_version_says_what_a_report_of_a_problem_needs() {
    let text = Playground::new().succeed(&["--version"]);
    let version = format!("polyptych {}\n", env!("CARGO_PKG_VERSION"));
    assert!(text.starts_with(&version), "{text}");
    for word in ["\ncommit: ", "\nLibTorch: 2.11.0 in ", "\nCUDA: ", "\nvector instructions: "] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn the_doctor_says_what_kernels_use_and_refuses_what_is_not_there() {
    let playground = Playground::new();
    let forced = |word: &str, args: &[&str]| {
        let output = crate::common::program(&playground.path("."))
            .env("POLYPTYCH_CPU", word)
            .args(args)
            .output()
            .unwrap();
        let [text, errors] = [output.stdout, output.stderr].map(|t| String::from_utf8(t).unwrap());
        (output.status.success(), text, errors)
    };
    let (fine, text, _) = forced("none", &["doctor"]);
    assert!(fine && text.contains("instructions in use: none, forced by POLYPTYCH_CPU"), "{text}");
    assert!(text.contains("\nproducts in float32: oneDNN\n"), "{text}");
    let (fine, text, _) = forced("", &["doctor"]);
    assert!(fine && text.contains(", the best that this processor has"), "{text}");
    for args in [&["doctor"][..], &["train", "recipe.toml", "--out", "run"]] {
        let (fine, _, errors) = forced("sse9", args);
        let expected =
            "POLYPTYCH_CPU: expected none, avx2, avx512, avx512_bf16 or amx, found \"sse9\"";
        assert!(!fine && errors.contains(expected), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}

#[test]
fn the_program_lists_what_recipes_can_name_and_explains_keys() {
    let playground = Playground::new();
    let listed = |what: &str| playground.succeed(&["recipe", what]);
    for (what, name) in [
        ("methods", "mtlora "),
        ("heads", "hrnet "),
        ("losses", "cross_entropy "),
        ("backbones", "swin_tiny_patch4_window7_224 "),
        ("metrics", "depth           rmse_m [m]"),
    ] {
        let lines = listed(what);
        assert!(lines.lines().any(|line| line.starts_with(name)), "{lines}");
        assert!(lines.lines().all(|line| line.split("  ").count() > 1), "{lines}");
    }
    let lr = playground.succeed(&["recipe", "explain", "train.lr"]);
    assert_eq!(lr, "train.lr (recipe)\n  number; required\n  Base learning rate.\n");
    let r = playground.succeed(&["recipe", "explain", "adapter.r"]);
    assert!(r.contains("adapter.r (adapter method lora)\n"), "{r}");
    let message = playground.refused(&["recipe", "explain", "train.lrr"]);
    assert_eq!(
        message,
        "train.lrr: expected a key of a recipe or a manifest: did you mean train.lr?"
    );
    for what in ["recipe", "manifest", "reference"] {
        let schema = playground.succeed(&["recipe", "schema", what]);
        assert!(serde_json::from_str::<serde_json::Value>(&schema).unwrap().is_object());
    }
}

#[test]
fn a_backbone_is_sorted_into_experts_once() {
    let playground = Playground::new();
    let shipped = "vit_micro_patch8_128.scenes_cifar10";
    let args = ["moefy", shipped, "sorted.safetensors", "--experts", "32", "--restarts", "1"];
    let table = playground.succeed(&args);
    let rows: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!((rows.len(), rows[1][0], rows[1][1]), (1 + 6 + 1, "blocks.0.mlp", "640"), "{table}");
    let number = |text: &str| text.parse::<f64>().unwrap();
    assert!(rows[1..7].iter().all(|row| number(row[2]) < number(row[3])), "{table}");
    assert!(playground.path("sorted.safetensors").exists());
    let again = playground.run(&args);
    let message = String::from_utf8(again.stderr).unwrap();
    assert!(message.contains("sorted.safetensors: expected a new file, found one"), "{message}");
    let odd = playground.run(&["moefy", shipped, "odd.safetensors", "--experts", "7"]);
    let message = String::from_utf8(odd.stderr).unwrap();
    assert!(message.contains("blocks.0.mlp.fc1: experts: expected a divisor of 640, found 7"));
    assert!(!playground.path("odd.safetensors").exists());
}

#[test]
fn both_forms_of_a_run_are_timed() {
    let playground = Playground::new();
    playground.succeed(&["train", "recipe.toml", "--out", "run"]);
    let args = ["time", "run", "--images", "2", "--passes", "3", "--json"];
    let timing: serde_json::Value = serde_json::from_str(&playground.succeed(&args)).unwrap();
    assert_eq!((&timing["images"], &timing["passes"]), (&2.into(), &3.into()));
    for form in ["adapted_ms", "folded_ms"] {
        let ms = |key: &str| timing[form][key].as_f64().unwrap();
        assert!(0.0 < ms("low") && ms("low") <= ms("median") && ms("median") <= ms("high"));
    }
    let lines = playground.succeed(&["time", "run", "--passes", "1"]);
    assert!(lines.starts_with("8 images, median of 1 passes and quartiles\ntrained "), "{lines}");
}

#[test]
fn conflict_is_measured_drawn_and_counted() {
    let playground = Playground::new();
    playground.write_label("a", |x, _| u8::from(x > 7));
    let manifest = std::fs::read_to_string(playground.path("toy.toml")).unwrap();
    let task = &manifest[manifest.find("[[tasks]]").unwrap()..];
    let second = task.replace("semseg\"\nkind = \"semseg", "human_parts\"\nkind = \"human_parts");
    playground.write("toy.toml", &format!("{manifest}{second}"));
    let head = "tasks.human_parts={weight=1.0, head={name='segformer', embed_dim=8, dropout=0.0}}";
    let balancer = "balancer={gradient={name='pcgrad'}}";
    let every = "train.conflict_every=2";
    let overrides = ["recipe.toml", "--set", head, "--set", balancer, "--set", every];
    playground.succeed(&[&["train", "--out", "run"], &overrides[..]].concat());
    let written = playground.succeed(&["conflict", "run", "--out", "map.png"]);
    assert_eq!(written, "map.png\n");
    assert!(image::open(playground.path("map.png")).unwrap().width() > 200);
    let summary = playground.succeed(&[&["inspect"], &overrides[..]].concat());
    assert!(summary.contains("\ngradient buffer: 2 tasks x "), "{summary}");
    let message = playground.refused(&["conflict", "toy"]);
    assert!(message.starts_with("toy/metrics.jsonl: "), "{message}");
}

#[test]
fn a_task_is_added_to_a_trained_run() {
    let playground = Playground::new();
    let vmt = "adapter={method='vmt_adapter', bottleneck={fixed=4}}";
    playground.succeed(&["train", "recipe.toml", "--out", "run", "--set", vmt]);
    let before = playground.succeed(&["eval", "run", "--json"]);

    let manifest = std::fs::read_to_string(playground.path("toy.toml")).unwrap();
    let task = &manifest[manifest.find("[[tasks]]").unwrap()..];
    let second = task.replace("semseg\"\nkind = \"semseg", "human_parts\"\nkind = \"human_parts");
    playground.write("toy.toml", &format!("{manifest}{second}"));
    let head = "tasks.human_parts={weight=1.0, head={name='segformer', embed_dim=8, dropout=0.0}}";
    let args = ["recipe.toml", "--set", vmt, "--set", head];
    playground.succeed(&[&["add-task", "run", "--out", "more"], &args[..]].concat());
    let recipe = std::fs::read_to_string(playground.path("more/recipe.toml")).unwrap();
    let extend = "[extend]\nrun = \"run\"\ntasks = [\"human_parts\"]\nbest = false\n";
    assert!(recipe.contains(extend), "{recipe}");

    let after = playground.succeed(&["eval", "more", "--json"]);
    let semseg = |text: &str| {
        let evaluation: serde_json::Value = serde_json::from_str(text).unwrap();
        let tasks = evaluation["tasks"].as_array().unwrap().clone();
        tasks.into_iter().find(|task| task["task"] == "semseg").unwrap()["scores"].clone()
    };
    assert_eq!(semseg(&before), semseg(&after));
    assert!(playground.succeed(&["merge", "more"]).contains("human_parts: largest difference "));

    let twice = playground.refused(&[&["add-task", "more", "--out", "again"], &args[..]].concat());
    let expected = "expected a task that more does not have, found human_parts, semseg";
    assert_eq!(twice, format!("toy: tasks: {expected}"));
    let fewer = ["add-task", "more", "recipe.toml", "--set", vmt];
    assert!(playground.refused(&fewer).starts_with("toy: tasks: expected a task that more "));
    assert!(!playground.path("again").exists());
}

/// As `polyptych recipe balancers | head -1` does.
#[test]
fn a_reader_that_leaves_is_no_panic() {
    let playground = Playground::new();
    let mut child = crate::common::program(&playground.path(""))
        .args(["recipe", "balancers"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn completions_and_examples_are_there() {
    let playground = Playground::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = playground.succeed(&["completions", shell]);
        assert!(script.contains("add-task"), "{shell}");
    }
    for command in ["train", "eval", "predict", "merge", "export", "convert", "inspect", "replay"] {
        let help = playground.succeed(&[command, "--help"]);
        assert!(help.contains("Examples:\n  polyptych "), "{help}");
    }
}

/// Counts need names of classes, and no image.
#[test]
fn a_recipe_is_counted_without_its_data() {
    let playground = Playground::new();
    std::fs::remove_dir_all(playground.path("toy")).unwrap();
    assert!(playground.succeed(&["inspect", "recipe.toml"]).contains("heads.semseg"));
    assert!(playground.succeed(&["inspect", "camvid"]).contains("heads.semseg"));
    let typo = playground.refused(&[
        "inspect",
        "recipe.toml",
        "--set",
        "train.stepz=3",
        "--set",
        "data.batch_size=x",
    ]);
    assert!(typo.contains("found stepz: did you mean steps?"), "{typo}");
    assert!(
        typo.contains("data.batch_size: expected a whole number of 0 or more, found the text"),
        "{typo}"
    );
    assert!(playground.refused(&["inspect", "quickstat"]).ends_with("did you mean quickstart?"));
}

#[test]
fn a_batch_larger_than_the_data_is_noted() {
    let playground = Playground::new();
    let args = ["train", "recipe.toml", "--out", "run", "--set", "data.batch_size=9"];
    let output = playground.run(&args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.contains("9 is more than the 3 images of data.train"),
        "{said}"
    );
}

#[test]
fn float16_without_a_gpu_is_noted_to_be_slow() {
    let playground = Playground::new();
    let args = ["train", "recipe.toml", "--out", "run", "--set", "precision=fp16"];
    let cpu = ["--set", "device=cpu", "--set", "train.steps=1"];
    let output = playground.run(&[&args[..], &cpu].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("fp16 is slow without a GPU"), "{said}");
}

/// The first stage is the run of the task alone, so nothing is transferred to it.
#[test]
fn transfer_is_measured_against_tasks_alone() {
    let playground = Playground::new();
    let stages = "stage=[{ name = \"first\" }, { name = \"second\", set = [\"seed=5\"] }]";
    let alone = "compare=[{ name = \"each task alone\", set = [\"stage=[]\"], separate = true, closing = true }]";
    let args = ["train", "recipe.toml", "--out", "run", "--set", stages, "--set", alone];
    let said = playground.succeed(&args);
    assert!(playground.path("run/compare/each_task_alone/semseg/evaluation.json").exists());
    let table: Vec<&str> = said.lines().skip_while(|line| !line.contains("forgetting")).collect();
    let row = table.iter().find(|line| line.contains("semseg")).unwrap();
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let number = |cell: &str| cell.parse::<f64>().unwrap();
    assert_eq!(cells[cells.len() - 2], "0.000", "{said}");
    let lost = number(cells[3]) - number(cells[4]);
    assert!((number(cells[5]) - lost).abs() <= 2e-3, "{said}");
}
