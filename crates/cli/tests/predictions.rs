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
    let written =
        playground.succeed(&["predict", "run", "a", "b", "--out", "seen", "--raw", "--bare"]);
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
    assert!(
        over.starts_with("./a/x.png: expected to write a new picture, found one of "),
        "{over}"
    );
}

#[test]
fn figures_explain_their_colours() {
    let playground = trained();
    playground.succeed(&["predict", "run", "a/x.png", "--out", "seen", "--overlay", "0.5"]);
    let picture = image::open(playground.path("seen/x.png")).unwrap();
    assert!(picture.width() >= 2 * 1301 && picture.height() > 7 + 2 * 20, "title and legend");
    let output = playground.run(&["predict", "run", "a/x.png", "--overlay", "2"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("expected a number from 0 to 1, found 2"), "{message}");
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

/// A merged model knows the folder of its data by a path that may not be there any more.
#[test]
fn a_model_that_was_moved_is_measured_where_the_data_are() {
    let playground = trained();
    playground.succeed(&["merge", "run", "--out", "merged"]);
    let elsewhere = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(playground.path("merged")).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, elsewhere.path().join(file.file_name().unwrap())).unwrap();
    }
    let data = [playground.path("toy.toml"), playground.path("toy")];
    let [manifest, root] = data.map(|path| path.display().to_string());
    let args = ["eval", ".", "--manifest", &manifest, "--root", &root, "--split", "train"];
    assert!(common::succeed(elsewhere.path(), &args).contains("miou"));
    let photograph = playground.photograph("a").display().to_string();
    common::succeed(elsewhere.path(), &["predict", ".", &photograph]);
    assert!(elsewhere.path().join("predictions/a.png").exists());
}

/// Manifests of the repository are in the program: no checkout is needed.
#[test]
fn a_shipped_recipe_finds_its_manifest_anywhere() {
    let elsewhere = tempfile::tempdir().unwrap();
    let output = common::program(elsewhere.path()).args(["train", "camvid"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    let expected = "datasets/camvid.toml: root: expected the data set in data/camvid, found no ";
    assert!(message.contains(expected), "{message}");
}

/// One command from a folder to a trained run, for maps and for classes.
#[test]
fn a_folder_is_enough_to_train() {
    let playground = Playground::new();
    let args = ["train", "--data", "toy", "--set", "train.steps=3", "--out", "maps"];
    std::fs::remove_file(playground.path("toy.toml")).unwrap();
    let output = playground.run(&args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    for reason in [
        "toy.recipe.toml: a recipe for toy.toml",
        "  method: ",
        "  img_size: 64 x 64",
        "  batch_size: ",
    ] {
        assert!(said.contains(reason), "{reason}: {said}");
    }
    assert!(playground.succeed(&["eval", "maps"]).contains("miou"));

    for class in ["cat", "dog"] {
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"] {
            let folder = playground.path(&format!("pets/{class}"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::copy(playground.photograph("a"), folder.join(format!("{name}.jpg"))).unwrap();
        }
    }
    playground.succeed(&["train", "--data", "pets", "--set", "train.steps=2", "--out", "classes"]);
    assert!(playground.succeed(&["eval", "classes"]).contains("top1"));
    std::fs::create_dir(playground.path("one")).unwrap();
    std::fs::rename(playground.path("pets"), playground.path("one/train")).unwrap();
    let said = playground.run(&["train", "--data", "one", "--set", "train.steps=1"]);
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("no split but train: a tenth "), "{said}");
    assert!(said.contains("measured on held_out\n"), "{said}");
    // One image is trained on and measured on, and so said.
    for name in ["images", "labels"] {
        std::fs::create_dir_all(playground.path(&format!("single/{name}"))).unwrap();
    }
    std::fs::copy(playground.photograph("a"), playground.path("single/images/a.jpg")).unwrap();
    std::fs::copy(playground.label("a"), playground.path("single/labels/a.png")).unwrap();
    let output = playground.run(&["train", "--data", "single", "--set", "train.steps=1"]);
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "trains on train (1 image), measured on train, which is trained on too";
    assert!(said.contains(expected) && output.status.success(), "{said}");
    let text = std::fs::read_to_string(playground.path("pets.recipe.toml")).unwrap();
    assert!(text.contains("# method: LoRA") && text.contains("img_size = [32, 32]"), "{text}");
    let again = playground.refused(&["recipe", "new", "pets.toml", "--root", "one/train"]);
    assert_eq!(again, "pets.recipe.toml: expected a new file, found one that exists");
}
