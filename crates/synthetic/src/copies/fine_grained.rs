//! The four sets of whole-image classes: CUB by its authors' lists, the others by folders.

use std::collections::BTreeMap;

use super::writer::CopyWriter;
use crate::{FineGrained, FineGrainedConfig};
use polyptych_data::{Dataset, Label, Result};

const SIDE: usize = 48;

pub(super) fn aircraft(copy: &mut CopyWriter) -> Result<()> {
    folders(copy, "aircraft", "aircraft")
}

pub(super) fn cars(copy: &mut CopyWriter) -> Result<()> {
    folders(copy, "cars", "cars")
}

pub(super) fn flowers(copy: &mut CopyWriter) -> Result<()> {
    folders(copy, "flowers", "flowers")
}

/// One image of each class and split.
fn open(domain: &str, split: &str) -> Result<FineGrained> {
    let config = |len: usize| FineGrainedConfig {
        domain: domain.to_owned(),
        seed: 20,
        split: split.to_owned(),
        len,
        height: SIDE,
        width: SIDE,
        variety: 1.0,
    };
    let classes = FineGrained::new(config(1))?.tasks()[0].classes.len();
    FineGrained::new(config(classes))
}

fn folders(copy: &mut CopyWriter, task: &str, domain: &str) -> Result<()> {
    for split in ["train", "test"] {
        let dataset = open(domain, split)?;
        let names = &dataset.tasks()[0].classes;
        // Classes are found as folders, in the order of their names.
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort();
        let ranks: BTreeMap<&String, u32> = sorted.into_iter().zip(0..).collect();
        for index in 0..dataset.len() {
            let sample = dataset.get(index)?;
            let Some(Label::Category(class)) = sample.labels.get(domain) else { continue };
            let name = &names[*class as usize];
            copy.image(split);
            copy.label(split, task, &Label::Category(ranks[name]));
            copy.folder.jpeg(&format!("{split}/{name}/{index:05}.jpg"), &sample.image)?;
        }
    }
    Ok(())
}

pub(super) fn cub(copy: &mut CopyWriter) -> Result<()> {
    let (mut images, mut classes, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    let mut names = Vec::new();
    for (split, part) in [("train", 1), ("test", 0)] {
        let dataset = open("birds", split)?;
        names.clone_from(&dataset.tasks()[0].classes);
        for index in 0..dataset.len() {
            let sample = dataset.get(index)?;
            let Some(Label::Category(class)) = sample.labels.get("birds") else { continue };
            let (id, name) = (images.len() + 1, &names[*class as usize]);
            let path = format!("{:03}.{name}/{name}_{id:04}.jpg", class + 1);
            copy.image(split);
            copy.label(split, "cub", &Label::Category(*class));
            copy.folder.jpeg(&format!("images/{path}"), &sample.image)?;
            images.push(format!("{id} {path}"));
            classes.push(format!("{id} {}", class + 1));
            parts.push(format!("{id} {part}"));
        }
    }
    let names = (1..).zip(&names).map(|(number, name)| format!("{number} {number:03}.{name}"));
    copy.folder.lines("classes.txt", &names.collect::<Vec<_>>())?;
    copy.folder.lines("images.txt", &images)?;
    copy.folder.lines("image_class_labels.txt", &classes)?;
    copy.folder.lines("train_test_split.txt", &parts)
}
