//! What `predict` and `eval` leave: a file for every photograph, and scores of every class.
use crate::common::Playground;

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
    assert!(over.starts_with("./a/x.png: expected to write a new file, found one of "), "{over}");
}

#[test]
fn folders_within_folders_and_patterns_are_read() {
    let playground = trained();
    std::fs::create_dir_all(playground.path("all/deep/er")).unwrap();
    std::fs::copy(playground.photograph("a"), playground.path("all/deep/er/y.jpg")).unwrap();
    playground.write("all/deep/notes.txt", "no image");
    let args = ["predict", "run", "all", "a/*.jpg", "--out", "all/seen"];
    for _ in 0..2 {
        // The second time its own pictures are there, and are no photographs.
        let output = playground.run(&args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("skipped, not photographs (1): all/deep/notes.txt"), "{said}");
        let written = std::fs::read_dir(playground.path("all/seen")).unwrap().count();
        assert_eq!(written, 2, "x.png and y.png");
    }
    let none = playground.refused(&["predict", "run", "a/*.webp"]);
    assert_eq!(none, "a/*.webp: expected photographs, found no file of such a name");
}

#[test]
fn predictions_stand_beside_the_truth() {
    let playground = trained();
    let args = ["predict", "run", "--truth", "--samples", "2", "--split", "train"];
    let written = playground.succeed(&args);
    assert_eq!(written.lines().count(), 2, "{written}");
    let first = image::open(playground.path("predictions/000000_a.png")).unwrap();
    let alone = playground.succeed(&["predict", "run", "toy/images/train/a.jpg", "--out", "one"]);
    let alone = image::open(playground.path(alone.trim())).unwrap();
    assert!(first.height() > 2 * alone.height(), "three rows");
    let refused = playground.run(&["predict", "run", "a", "--truth"]);
    assert!(!refused.status.success(), "either photographs or samples");
    for wrong in ["10,1", "near"] {
        let output = playground.run(&["predict", "run", "a", "--depth-range", wrong]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("expected two depths in metres"), "{said}");
    }
}

#[test]
fn videos_are_predicted_frame_by_frame() {
    let ffmpeg = |args: &[&str]| std::process::Command::new("ffmpeg").args(args).output();
    if ffmpeg(&["-version"]).is_err() {
        println!("skipped: no ffmpeg here");
        return;
    }
    let playground = trained();
    let film = playground.path("film.mp4").display().to_string();
    let source = "testsrc=size=33x17:rate=5:duration=1";
    let made = ffmpeg(&["-v", "error", "-f", "lavfi", "-i", source, &film]).unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    playground.write("bad.mp4", "no video");
    let message = playground.refused(&["predict", "run", "film.mp4", "bad.mp4", "--out", "seen"]);
    assert!(message.starts_with("1 of 2 photographs were left out: bad.mp4: "), "{message}");
    let seen = playground.path("seen/film.mp4").display().to_string();
    let probe = std::process::Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-show_entries",
            "stream=width,height,nb_read_frames",
        ])
        .args(["-of", "csv=p=0", &seen])
        .output()
        .unwrap();
    // Two pictures of 33 pixels, or of 34 where a film has whole colours, and 4 between them.
    let said = String::from_utf8(probe.stdout).unwrap();
    assert!(["70,18,5", "72,18,5"].contains(&said.trim().trim_end_matches(',')), "{said}");
    let left = std::fs::read_dir(playground.path("seen")).unwrap().count();
    assert_eq!(left, 1, "nothing half-written");
    let raw = playground.refused(&["predict", "run", "film.mp4", "--raw", "--out", "raw"]);
    assert!(raw.contains("expected photographs with --raw, found a video"), "{raw}");
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
    assert!(crate::common::succeed(elsewhere.path(), &args).contains("miou"));
    let photograph = playground.photograph("a").display().to_string();
    crate::common::succeed(elsewhere.path(), &["predict", ".", &photograph]);
    assert!(elsewhere.path().join("predictions/a.png").exists());
}

/// Manifests of the repository are in the program: no checkout is needed.
#[test]
fn a_shipped_recipe_finds_its_manifest_anywhere() {
    let elsewhere = tempfile::tempdir().unwrap();
    let output =
        crate::common::program(elsewhere.path()).args(["train", "camvid"]).output().unwrap();
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
    let expected = "trains on train (1 image), measured on train, also used for training";
    assert!(said.contains(expected) && output.status.success(), "{said}");
    let text = std::fs::read_to_string(playground.path("pets.recipe.toml")).unwrap();
    assert!(text.contains("# method: LoRA") && text.contains("img_size = [32, 32]"), "{text}");
    let again = playground.refused(&["recipe", "new", "pets.toml", "--root", "one/train"]);
    assert_eq!(again, "pets.recipe.toml: expected a new file, found one that exists");
}
