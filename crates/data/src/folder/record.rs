//! What a folder was when a run began with it.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::dataset::FolderDataset;
use super::labels::Labels;
use crate::{DatasetRecord, TaskSpec};

impl FolderDataset {
    pub(super) fn record(&self) -> DatasetRecord {
        let (mut digest, mut bytes) = (Sha256::new(), 0);
        for (index, slots) in self.items.iter().enumerate() {
            let (title, length) = (self.images.title(slots), self.images.length(index, slots));
            digest.update(format!("{title}\0{length}\0"));
            bytes += length;
        }
        DatasetRecord {
            name: self.name.clone(),
            split: self.split.clone(),
            samples: self.items.len(),
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
            Labels::Files(_) | Labels::Indexed(_) => None,
        };
        self.wanted().filter_map(digest).collect()
    }
}

/// 16 of 64 digits tell data sets apart.
fn short(digest: Sha256) -> String {
    format!("{:.16x}", digest.finalize())
}
