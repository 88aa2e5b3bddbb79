//! Scenes with labels for six tasks: `cargo run -p polyptych-synthetic --example scenes`.

use polyptych_data::Dataset;
use polyptych_synthetic::{Scenes, ScenesConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = ScenesConfig { seed: 0, split: "train".into(), len: 3, height: 64, width: 96 };
    let scenes = Scenes::new(config)?;
    for task in scenes.tasks() {
        println!("{}: {:?}", task.name, task.kind);
    }
    for index in 0..scenes.len() {
        let sample = scenes.get(index)?;
        let labels: Vec<&String> = sample.labels.keys().collect();
        println!("{}: image {:?}, labels {labels:?}", sample.name, sample.image.dim());
    }
    Ok(())
}
