//! What `predict` and `eval` leave: a file for every photograph, and scores of every class.
#![allow(clippy::unwrap_used)]

mod common;

use common::Playground;

/// A run, and photographs of one name in two folders and with two endings.
fn trained() -> Playground {
    let playground = Playground::new();
    playground.succeed(&["train", "recipe.toml", "--out", "run"]);
    for folder in ["a", "b"] {
        std::fs::create_dir(playground.path(folder)).unwrap();
        std::fs::copy(playground.photograph("a"), playground.path(folder).join("x.jpg")).unwrap();
    }
    let large = image::RgbImage::from_pixel(1301, 7, image::Rgb([90, 120, 30]));
    large.save(playground.path("a/x.png")).unwrap();
    playground
}

#[test]
fn photographs_of_one_name_are_all_kept() {
    let playground = trained();
    let written = playground.succeed(&["predict", "run", "a", "b", "--out", "seen", "--raw"]);
    for name in ["a/x.jpg", "b/x.jpg", "a/x.png"] {
        for ending in ["png", "safetensors"] {
            let file = format!("seen/{name}.{ending}");
            assert!(playground.path(&file).exists() && written.contains(&file), "{written}");
        }
    }
    let picture = image::open(playground.path("seen/a/x.png.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (1301 + 4 + 1301, 7), "its own size");
    playground.succeed(&["predict", "run", "a/x.jpg", "b/x.jpg", "--out", "two"]);
    assert!(playground.path("two/a/x.png").exists() && playground.path("two/b/x.png").exists());
    let over = playground.refused(&["predict", "run", "a/x.png", "b/x.jpg", "--out", "."]);
    assert!(over.starts_with("./a/x.png: expected to write a new picture, found one of "), "{over}");
}

#[test]
fn bad_photographs_are_named_at_the_end_and_the_others_done() {
    let playground = trained();
    playground.write("b/bad.jpg", "no image");
    let args = ["predict", "run", "absent.jpg", "b", "--out", "seen"];
    let message = playground.refused(&args);
    assert!(message.starts_with("2 of 3 photographs were left out: absent.jpg: "), "{message}");
    assert!(message.contains("; b/bad.jpg: "), "{message}");
    assert!(playground.path("seen/x.png").exists());
}

#[test]
fn every_class_has_its_score_and_absent_ones_are_marked() {
    let playground = Playground::new();
    for name in ["a", "b", "c"] {
        playground.write_label(name, |_, y| u8::from(y > 7));
    }
    playground.succeed(&["train", "recipe.toml", "--out", "run", "--set", "train.steps=2"]);
    let tables = playground.succeed(&["eval", "run", "--out", "scores.json"]);
    let text = std::fs::read_to_string(playground.path("scores.json")).unwrap();
    let scores: serde_json::Value = serde_json::from_str(&text).unwrap();
    let task = &scores["tasks"][0];
    let classes = task["classes"].as_array().unwrap();
    assert_eq!((classes.len(), &classes[2]["class"]), (3, &"thing".into()));
    assert_eq!((&classes[0]["labelled"], &classes[2]["labelled"]), (&true.into(), &false.into()));
    let known: Vec<f64> = classes.iter().filter_map(|class| class["value"].as_f64()).collect();
    let miou = task["scores"][0]["value"].as_f64().unwrap();
    assert!((miou - known.iter().sum::<f64>() / known.len() as f64).abs() < 1e-9, "{text}");
    let row = tables.lines().find(|line| line.contains("| thing ")).unwrap();
    assert!(row.contains("absent"), "{tables}");
    let stored = std::fs::read_to_string(playground.path("run/evaluation.json")).unwrap();
    assert!(stored.contains("\"class\":\"thing\""), "{stored}");
}
