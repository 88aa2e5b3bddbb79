//! Bad input is refused with one line that names file, key, expected and found; nothing half-written
//! stays behind.

use crate::common::{Playground, VAL, program};

fn refused_run(playground: &Playground, extra: &[&str]) -> String {
    let mut args = vec!["train", "recipe.toml", "--out", "run"];
    args.extend(extra);
    let message = playground.refused(&args);
    assert!(!playground.path("run").exists(), "{message}: a folder stayed behind");
    message
}

#[test]
fn an_unknown_recipe_key() {
    let playground = Playground::new();
    let message = refused_run(&playground, &["--set", "train.stepz=3"]);
    assert!(message.starts_with("recipe.toml: train.stepz: expected one of steps, "), "{message}");
}

/// Before the first step, not once everything before them has trained.
#[test]
fn a_later_stage_and_a_closing_row() {
    const ZERO: &str = r#"set = ['adapter={ method = "lora", r = 0, target_modules = ["qkv"] }']"#;
    let playground = Playground::new();
    let stages = format!(r#"stage=[{{ name = "a" }}, {{ name = "b", {ZERO} }}]"#);
    let message = refused_run(&playground, &["--set", &stages]);
    assert_eq!(message, "stage b: adapter.r: expected at least 1, found 0");
    let images = r#"set = ["data.train.0.root='gone'"]"#;
    let stages = format!(r#"stage=[{{ name = "a" }}, {{ name = "b", {images} }}]"#);
    let message = refused_run(&playground, &["--set", &stages]);
    assert!(message.starts_with("stage b: ") && message.contains("gone"), "{message}");
    for separate in [false, true] {
        let how = format!("closing = true, separate = {separate}");
        let row = format!(r#"compare=[{{ name = "LoRA 0", {how}, {ZERO} }}]"#);
        let message = refused_run(&playground, &["--set", &row]);
        assert_eq!(message, "row LoRA 0: adapter.r: expected at least 1, found 0");
    }
}

#[test]
fn a_missing_image() {
    let playground = Playground::new();
    playground.write(
        "toy.toml",
        &std::fs::read_to_string(playground.path("toy.toml"))
            .unwrap()
            .replace("train = {}", "train = { list = \"train.txt\" }"),
    );
    playground.write("toy/train.txt", "a\nb\ngone\n");
    let message = refused_run(&playground, &[]);
    assert!(message.contains("gone"), "{message}");
}

#[test]
fn a_truncated_jpeg() {
    let playground = Playground::new();
    let whole = std::fs::read(playground.photograph("b")).unwrap();
    std::fs::write(playground.photograph("b"), &whole[..whole.len() / 2]).unwrap();
    let message = refused_run(&playground, &[]);
    assert!(message.contains("b.jpg: not a readable JPEG image"), "{message}");
}

#[test]
fn a_data_set_is_checked_as_a_whole() {
    let playground = Playground::new();
    let check = ["data", "check", "toy.toml", "--root", "toy"];
    assert_eq!(
        playground.succeed(&check),
        "train: semseg: 3 of 3 images have a label\nval: semseg: 3 of 3 images have a label\n\
         samples: train 3, val 3; problems: 0\n"
    );
    std::fs::write(playground.photograph("b"), b"\xff\xd8\xff").unwrap();
    playground.write_label("a", |_, _| 7);
    let output = playground.run(&[&check[..], &["--split", "train"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // Paths as they were given.
    assert!(lines[0].starts_with("train: toy/labels/train/a.png: semseg: "), "{text}");
    let bad = "train: toy/images/train/b.jpg: not a readable JPEG image";
    assert!(lines[1].starts_with(bad), "{text}");
    let counts = "train: semseg: 3 of 3 images have a label";
    assert_eq!(lines[2..], [counts, "samples: train 3; problems: 2"]);
    // A label that is called nearly as it should be.
    std::fs::rename(playground.label("a"), playground.path("toy/labels/train/a.PNG")).unwrap();
    let output = playground.run(&[&check[..], &["--split", "train"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let near = "toy/labels/train/a.png: no such file (there is toy/labels/train/a.PNG)";
    assert!(text.contains(&format!("\ntrain: semseg: {near}\n")), "{text}");
    assert!(
        text.contains(&format!("train: semseg: 2 of 3 images have a label; {near}\n")),
        "{text}"
    );
}

#[test]
fn a_bad_sample_may_be_left_out_and_is_counted() {
    let playground = Playground::new();
    let manifest = std::fs::read_to_string(playground.path("toy.toml")).unwrap();
    // Measured on the good ones, trained on all.
    playground.write("toy/val.txt", "a\nc\n");
    let val = "val = { folder = \"train\", list = \"val.txt\", overlaps = [\"train\"] }";
    playground.write("toy.toml", &manifest.replace(VAL, val));
    std::fs::write(playground.photograph("b"), b"\xff\xd8\xff").unwrap();
    let train = ["train", "recipe.toml", "--out", "run"];
    // Every sample is in every epoch.
    let sets = ["--set", "data.on_bad_sample=skip", "--set", "data.batch_size=3"];
    playground.succeed(&[&train[..], &sets].concat());
    let log = std::fs::read_to_string(playground.path("run/metrics.jsonl")).unwrap();
    let counted = log.lines().filter(|line| line.contains("\"bad_samples\":1")).count();
    assert!(counted > 0 && log.contains("b.jpg: not a readable JPEG image"), "{log}");
}

#[test]
fn images_that_are_trained_on_and_measured_on() {
    let playground = Playground::new();
    let recipe = std::fs::read_to_string(playground.path("recipe.toml")).unwrap();
    playground.write("recipe.toml", &recipe.replace("allow_overlap = true\n", ""));
    let message = refused_run(&playground, &[]);
    let expected = "toy: splits `val` and `train`: expected no image in both, found 3, the first: ";
    assert!(message.starts_with(expected), "{message}");
    assert!(message.ends_with("/toy/images/train/a.jpg"), "{message}");
    // The manifest's word is for `data check` alone.
    let manifest = std::fs::read_to_string(playground.path("toy.toml")).unwrap();
    playground.write("toy.toml", &manifest.replace(VAL, "val = { folder = \"train\" }"));
    let output = playground.run(&["data", "check", "toy.toml", "--root", "toy"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("val: toy: splits `train` and `val`: expected no image"), "{text}");
    // Parts of one folder share none.
    let halves = "val = { folder = \"train\", list = \"val.txt\" }";
    let manifest = manifest.replace(VAL, halves);
    playground.write("toy.toml", &manifest.replace("train = {}", "train = { list = \"t.txt\" }"));
    playground.write("toy/val.txt", "c\n");
    playground.write("toy/t.txt", "a\nb\n");
    playground.succeed(&["train", "recipe.toml", "--out", "run"]);
}

/// A photograph on another disk is read only where the recipe says so.
#[cfg(unix)]
#[test]
fn a_link_that_leaves_the_folder() {
    let playground = Playground::new();
    let far = playground.path("far.jpg");
    std::fs::rename(playground.photograph("b"), &far).unwrap();
    std::os::unix::fs::symlink(&far, playground.photograph("b")).unwrap();
    let message = refused_run(&playground, &[]);
    assert!(message.contains("toy/images/train/b.jpg: expected links within"), "{message}");
    assert!(message.contains("far.jpg"), "{message}");
    let output = playground.run(&["data", "check", "toy.toml", "--root", "toy"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = "toy/images/train/b.jpg: expected links within the folder, found one to ";
    assert!(text.starts_with(expected), "{text}");
    playground.succeed(&["data", "check", "toy.toml", "--root", "toy", "--follow-links"]);
    let follow =
        ["--set", "data.train.0.follow_links=true", "--set", "data.eval.0.follow_links=true"];
    playground.succeed(&[&["train", "recipe.toml", "--out", "run"][..], &follow].concat());
}

#[test]
fn a_label_of_another_size() {
    let playground = Playground::new();
    image::GrayImage::new(8, 8).save(playground.label("b")).unwrap();
    let message = refused_run(&playground, &[]);
    assert!(message.contains('b') && message.contains("semseg: expected"), "{message}");
    assert!(message.contains("16") && message.contains('8'), "{message}");
}

#[test]
fn a_label_value_out_of_range() {
    let playground = Playground::new();
    playground.write_label("c", |_, _| 7);
    let message = refused_run(&playground, &[]);
    assert!(message.contains("c.png") && message.contains("found 7"), "{message}");
}

#[test]
fn an_all_void_label() {
    let playground = Playground::new();
    playground.write_label("a", |_, _| 255);
    let message = refused_run(&playground, &[]);
    assert!(message.contains("a.png"), "{message}");
}

#[test]
fn cuda_where_there_is_none() {
    let playground = Playground::new();
    let message = refused_run(&playground, &["--set", "device=cuda:63"]);
    assert!(message.starts_with("device `cuda:63`: "), "{message}");
}

#[test]
fn an_empty_split() {
    let playground = Playground::new();
    std::fs::create_dir_all(playground.path("toy/images/val")).unwrap();
    let manifest = std::fs::read_to_string(playground.path("toy.toml")).unwrap();
    playground.write("toy.toml", &manifest.replace(VAL, "val = {}"));
    let message = refused_run(&playground, &[]);
    assert!(
        message.starts_with("toy: split `val` is empty: expected at least 1 sample, found 0"),
        "{message}"
    );
    let last = |args: &[&str]| {
        let output = playground.run(args);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned()
    };
    let check = ["data", "check", "toy.toml", "--root", "toy"];
    assert_eq!(last(&check), "samples: train 3, val could not be opened; problems: 1");
    let val = [&check[..], &["--split", "val"]].concat();
    assert_eq!(last(&val), "samples: val could not be opened; problems: 1");
}

#[test]
fn a_checkpoint_of_another_recipe() {
    let playground = Playground::new();
    playground.succeed(&["train", "recipe.toml", "--out", "run"]);
    let recipe = std::fs::read_to_string(playground.path("run/recipe.toml")).unwrap();
    playground.write("run/recipe.toml", &recipe.replace("seed = 0", "seed = 1"));
    for args in [["train", "--resume", "run"].as_slice(), &["eval", "run"], &["merge", "run"]] {
        let message = playground.refused(args);
        assert!(
            message.contains("these settings differ from the run's: seed: expected 0, found 1; "),
            "{message}"
        );
    }
}

/// A limit on the size of files makes writes fail as a full disk does, part of the way.
#[cfg(unix)]
#[test]
fn a_full_disk() {
    let playground = Playground::new();
    let polyptych = program(&playground.path("")).get_program().to_owned();
    let script = "trap '' XFSZ; ulimit -f 1024; exec \"$0\" train recipe.toml --out run";
    let output = std::process::Command::new("bash")
        .args(["-c", script])
        .arg(polyptych)
        .env("OMP_NUM_THREADS", "1")
        .current_dir(playground.path(""))
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let last = errors.lines().last().unwrap();
    assert!(last.starts_with("error: ") && last.contains("model.safetensors: "), "{errors}");
    assert!(!playground.path("run").exists());
}

#[test]
fn words_that_do_not_exist() {
    let playground = Playground::new();
    let message = playground.refused(&["train", "quickstrat"]);
    assert!(
        message.starts_with("quickstrat: expected a TOML file or one of quickstart, "),
        "{message}"
    );
    let message = playground.refused(&["train", "recipe.toml", "--tasks", "depth"]);
    assert_eq!(message, "--tasks: expected some of semseg, found depth");
    let message = playground.refused(&["recipe", "show", "nothing"]);
    assert!(message.starts_with("nothing: expected one of quickstart"), "{message}");
    let message = playground.refused(&["predict", "absent", "toy/images/train"]);
    assert!(message.starts_with("absent: expected the folder of a run"), "{message}");
}

#[test]
fn a_data_set_that_is_not_here() {
    let playground = Playground::new();
    let message = refused_run(&playground, &["--set", "data.train.0.root=elsewhere"]);
    assert!(
        message.starts_with("toy.toml: root: expected the data set in elsewhere, "),
        "{message}"
    );
    // Nobody fetches a set of one's own.
    let how =
        "name its folder as `root` beside `manifest` (data.train.0.root), or with `--root DIR`";
    assert!(message.ends_with(how), "{message}");
    let manifest = std::fs::read_to_string(playground.path("toy.toml")).unwrap();
    let archive = "[[archive]]\nfile = \"toy.zip\"\nurls = []\nformat = \"zip\"\n";
    playground.write("toy.toml", &format!("{manifest}\n{archive}"));
    let message = refused_run(&playground, &["--set", "data.train.0.root=elsewhere"]);
    assert!(message.ends_with("`cargo xtask data fetch toy` brings it"), "{message}");
}
