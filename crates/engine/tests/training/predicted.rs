//! Maps of a run, as `predict --raw` writes them, are labels of another data set.
use std::fs;

use crate::common::{alone, recipe, train};
use ndarray::Axis;
use polyptych_data::{FolderDataset, Label};
use polyptych_engine::{Dataset, OpenRun, Predictor, Root};

const TASKS: [&str; 5] = ["semseg", "depth", "sal", "normals", "edge"];
const HEAD: &str = "{weight=1.0, head={name=\"segformer\", embed_dim=8, dropout=0.0}}";

/// Tasks whose own files, of which there are none, store other numbers than what they mean.
fn manifest(classes: &[String]) -> String {
    let map: Vec<String> = (0..classes.len()).map(|k| format!("[{}, {k}]", k + 1)).collect();
    let keys = [
        format!(
            "format = \"index_png\"\nclasses = {classes:?}\nignore = [0]\nmap = [{}]",
            map.join(", ")
        ),
        "format = \"png16\"\nscale = 0.001\nrotate_right = 3".to_owned(),
        "format = \"index_png\"\nthreshold = 127.5".to_owned(),
        "format = \"normals_png\"\nsigns = [1.0, -1.0, 1.0]".to_owned(),
        "format = \"index_png\"\noutline = true".to_owned(),
    ];
    let task = |(name, keys): (&str, String)| {
        let teacher = "teacher/{id}.safetensors";
        format!(
            "[[tasks]]\nname = {name:?}\nkind = {name:?}\nlabel = \"{name}/{{id}}.png\"\n{keys}\n\
             or = [{{ label = {teacher:?}, format = \"safetensors:{name}\" }}]\n"
        )
    };
    let tasks: String = TASKS.into_iter().zip(keys).map(task).collect();
    format!(
        "name = \"seen\"\n[layout]\nimages = \"images/{{id}}.png\"\n[splits]\nall = {{}}\n{tasks}"
    )
}

#[test]
fn predictions_are_labels_as_they_are() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let more: Vec<String> = TASKS.iter().map(|task| format!("tasks.{task}={HEAD}")).collect();
    let adapter = "adapter={method=\"lora\", r=2, target_modules=[\"qkv\"]}";
    let overrides: Vec<&str> = more.iter().map(String::as_str).chain([adapter]).collect();
    drop(train(recipe(&overrides), &path("run")));
    let run = OpenRun::open(&path("run"), false, None).unwrap();
    let semseg = run.model.tasks.iter().find(|task| task.spec.name == "semseg").unwrap();
    fs::write(path("seen.toml"), manifest(&semseg.spec.classes)).unwrap();
    for name in ["images", "teacher"] {
        fs::create_dir(path(name)).unwrap();
    }
    let photograph = image::RgbImage::from_fn(28, 20, |x, y| {
        image::Rgb([x as u8 * 9, y as u8 * 12, u8::from(x > 13) * 200])
    });
    photograph.save(path("images/a.png")).unwrap();
    let predictor = Predictor::new(run);
    let prediction = predictor.predict(&path("images/a.png")).unwrap();
    predictor.save_raw(&prediction, &path("teacher/a.safetensors")).unwrap();

    let data = FolderDataset::open(&path("seen.toml"), &Root::new(folder.path(), false), "all");
    let labels = data.unwrap().get(0).unwrap().labels;
    assert_eq!(labels.len(), TASKS.len());
    for (task, map) in predictor.titles().iter().skip(1).zip(&prediction.maps) {
        let plane = map.index_axis(Axis(0), 0);
        assert_eq!(plane.dim(), (20, 28), "{task}");
        match &labels[task] {
            Label::Classes(found) => assert_eq!(found.mapv(f32::from), plane),
            Label::Depth(found) => assert_eq!(found.view(), plane),
            Label::Binary(found) => assert_eq!(found.mapv(|on| on == 1), plane.mapv(|p| p > 0.5)),
            Label::Edges(found) => {
                assert_eq!(found[0].mapv(|on| on == 1), plane.mapv(|p| p > 0.5));
            }
            Label::Normals(found) => {
                for ((y, x, c), value) in found.indexed_iter() {
                    assert!((value - map[[c, y, x]]).abs() < 1e-5, "{value} at {y}, {x}, {c}");
                }
            }
            other => panic!("{task}: {other:?}"),
        }
    }
}
