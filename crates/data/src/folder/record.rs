//! What a folder was when a run began with it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::FolderDataset;
use super::labels::Labels;
use super::manifest::Manifest;
use crate::{Dataset, DatasetRecord, TaskSpec};

impl FolderDataset {
    pub(super) fn record(&self) -> DatasetRecord {
        let (mut digest, mut bytes) = (Sha256::new(), 0);
        for slots in &self.items {
            let (title, length) = (self.images.title(slots), self.images.length(slots));
            digest.update(format!("{title}\0{length}\0"));
            bytes += length;
        }
        DatasetRecord {
            name: self.name.clone(),
            split: self.split.clone(),
            samples: self.len(),
            limit: None,
            bytes,
            images: short(digest),
            classes: self.class_digests(),
            manifest: self.settings.clone(),
        }
    }

    fn class_digests(&self) -> BTreeMap<String, String> {
        let digest = |(task, labels): (&TaskSpec, &Labels)| match labels {
            Labels::Known(classes) => {
                let mut digest = Sha256::new();
                classes.iter().for_each(|class| digest.update(class.to_le_bytes()));
                Some((task.name.clone(), short(digest)))
            }
            Labels::Files(_) => None,
        };
        self.wanted().filter_map(digest).collect()
    }
}

/// 16 of 64 digits tell data sets apart.
fn short(digest: Sha256) -> String {
    format!("{:.16x}", digest.finalize())
}

/// The keys of `manifest` that say what samples hold beside the images themselves, for the tasks
/// of `specs`; defaults are in place, so that a key that says what holds anyway changes nothing.
pub(super) fn settings(manifest: &Manifest, specs: &[TaskSpec], wanted: &[bool]) -> Value {
    let layout = json!({
        "format": manifest.layout.format,
        "apply_exif_orientation": manifest.layout.apply_exif_orientation.unwrap_or(true),
    });
    let mut tasks = Map::new();
    for ((entry, spec), wanted) in manifest.tasks.iter().zip(specs).zip(wanted) {
        if !wanted {
            continue;
        }
        let mut keys = serde_json::to_value(entry).unwrap_or(Value::Null);
        if let Value::Object(keys) = &mut keys {
            keys.insert("classes".to_owned(), json!(spec.classes));
            keys.remove("name");
        }
        tasks.insert(spec.name.clone(), keys);
    }
    json!({ "layout": layout, "tasks": tasks })
}
