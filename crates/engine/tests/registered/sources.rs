//! Every kind of data set that recipes name, at its example, and one of a program's own.
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::common::{Until, alone, recipe, refused, train};
use ndarray::{Array2, Array3};
use polyptych_data::{DataSource, Dataset, Error, Label, Result, Sample, TaskKind, TaskSpec};
use polyptych_engine::{SourceRecipe, Trainer};
use polyptych_registry::part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ramps of depth and their photographs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RampsConfig {
    len: usize,
    /// Metres at the right border.
    metres: f32,
    /// A place that a run may change.
    #[serde(default)]
    path: String,
}

part!(
    RampsConfig,
    "ramps",
    "depth that grows from left to right",
    RampsConfig { len: 4, metres: 8.0, path: String::new() }
);

impl DataSource for RampsConfig {
    fn open(&self, _wanted: &dyn Fn(&str) -> bool) -> Result<Arc<dyn Dataset>> {
        if self.len == 0 {
            return Err(Error::Config {
                origin: "ramps".into(),
                key: "len".into(),
                expected: "1 or more".into(),
                found: "0".into(),
            });
        }
        let task = |name: &str, kind, classes: &[&str]| TaskSpec {
            name: name.into(),
            kind,
            classes: classes.iter().map(|&class| class.into()).collect(),
            palette: Vec::new(),
            flip_pairs: Vec::new(),
        };
        let tasks = vec![
            task("depth", TaskKind::Depth, &[]),
            task("semseg", TaskKind::Semseg, &["near", "far"]),
        ];
        Ok(Arc::new(Ramps { config: self.clone(), tasks }))
    }

    fn location_fields(&self) -> &'static [&'static str] {
        &["path"]
    }
}

struct Ramps {
    config: RampsConfig,
    tasks: Vec<TaskSpec>,
}

impl Dataset for Ramps {
    fn name(&self) -> &str {
        "ramps"
    }

    fn len(&self) -> usize {
        self.config.len
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn get(&self, index: usize) -> Result<Sample> {
        const SIDE: usize = 32;
        let share = |x: usize| (x + index + 1) as f32 / (SIDE + self.config.len) as f32;
        let depth = Array2::from_shape_fn((SIDE, SIDE), |(_, x)| share(x) * self.config.metres);
        let classes = Array2::from_shape_fn((SIDE, SIDE), |(_, x)| u8::from(share(x) > 0.5));
        Ok(Sample {
            name: format!("{index}"),
            image: Array3::from_shape_fn((SIDE, SIDE, 3), |(_, x, _)| (share(x) * 255.0) as u8),
            labels: BTreeMap::from([
                ("depth".into(), Label::Depth(depth)),
                ("semseg".into(), Label::Classes(classes)),
            ]),
        })
    }
}

/// Registered for the whole process, in whichever test comes first.
fn register() {
    let _ = SourceRecipe::register::<RampsConfig>();
}

fn ramps(metres: f32, path: &str) -> [String; 2] {
    let source =
        |len| format!("[{{dataset=\"ramps\", len={len}, metres={metres:?}, path={path:?}}}]");
    [format!("data.train={}", source(6)), format!("data.eval={}", source(2))]
}

#[test]
fn every_example_reads_back_and_describes_itself() {
    let _alone = alone();
    register();
    for source in SourceRecipe::examples() {
        let name = source.name();
        let text = toml::to_string(&source).unwrap();
        assert!(text.starts_with(&format!("dataset = {name:?}\n")), "{text}");
        assert_eq!(toml::from_str::<SourceRecipe>(&text).unwrap(), source, "{name}");
        let odd = toml::from_str::<SourceRecipe>(&format!("{text}\nno_such_key = 1\n"));
        let message = odd.unwrap_err().to_string();
        assert!(message.contains("unknown field `no_such_key`"), "{name}: {message}");
        let described = source.described().unwrap();
        assert!(!described.is_empty(), "{name}");
        // An example of files needs files.
        if let Ok(dataset) = source.open(&|_| true) {
            assert_eq!(dataset.tasks(), described, "{name}");
            assert!(!dataset.is_empty(), "{name}");
            dataset.get(0).unwrap().check(dataset.tasks()).unwrap();
            assert_eq!(dataset.records().len(), dataset.parts().len(), "{name}");
        }
    }
}

#[test]
fn a_source_of_ones_own_trains_moves_and_resumes() {
    let _alone = alone();
    register();
    let with = |path: &str| {
        let overrides = ramps(8.0, path);
        recipe(&[&overrides[0], &overrides[1]])
    };
    let folder = tempfile::tempdir().unwrap();
    let (whole, outcome) = train(with("here"), &folder.path().join("whole"));
    assert!(outcome.finished);
    let path = folder.path().join("parts");
    let (mut first, _) = Trainer::start(with("here"), None, &path).unwrap();
    first.run(&mut Until { until: 4, ..Until::default() }).unwrap();
    drop(first);
    let written = std::fs::read_to_string(path.join("recipe.toml")).unwrap();
    std::fs::write(path.join("recipe.toml"), written.replace("\"here\"", "\"there\"")).unwrap();
    let mut second = Trainer::resume(&path).unwrap();
    assert!(second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap().finished);
    let tensors = |trainer: &Trainer| trainer.model().store.tensors();
    for ((name, a), (_, b)) in tensors(&whole).into_iter().zip(tensors(&second)) {
        assert!(a.equal(&b), "{name} differs");
    }
    drop(second);
    std::fs::write(path.join("recipe.toml"), written.replace("metres = 8.0", "metres = 9.0"))
        .unwrap();
    let message = Trainer::resume(&path).err().unwrap().to_string();
    assert!(message.contains("data.train.0.metres: expected 8.0, found 9.0"), "{message}");
}

#[test]
fn wrong_sources_are_answered_with_what_was_meant() {
    let _alone = alone();
    register();
    let message = refused(&["data.train.0.dataset=\"ramp\""]);
    let known = SourceRecipe::names().join(", ");
    let expected =
        format!("data.train.0.dataset: expected one of {known}, found ramp: did you mean ramps?");
    assert!(message.contains(&expected), "{message}");
    let message = refused(&["data.train.0={dataset=\"ramps\", metres=1.0}"]);
    assert!(message.contains("data.train.0.len: expected a value, found none"), "{message}");
}

#[test]
fn only_a_described_folder_is_measured_elsewhere() {
    let _alone = alone();
    register();
    let overrides = ramps(8.0, "here");
    let elsewhere = recipe(&[&overrides[1]]).measured_on(None, None, Some("test"));
    let message = elsewhere.unwrap_err().to_string();
    assert!(message.contains("expected one folder of data"), "{message}");
    let folder = "data.eval=[{dataset=\"folder\", manifest=\"a.toml\", root=\"r\", split=\"val\"}]";
    let moved = recipe(&[folder]).measured_on(Some("b.toml".as_ref()), None, Some("test")).unwrap();
    let text = toml::to_string(&moved.data.eval[0]).unwrap();
    assert_eq!(text, "dataset = \"folder\"\nmanifest = \"b.toml\"\nsplit = \"test\"\n");
}
