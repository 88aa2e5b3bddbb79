//! A recipe trained for two steps, merged and asked: `cargo run -p polyptych-engine --example train`.

use polyptych_engine::{
    Evaluation, Observer, OpenRun, Predictor, Recipe, StepReport, Trainer, merge,
};

const RECIPE: &str = include_str!("tiny.toml");

/// Prints steps and scores, and never stops a run.
struct Lines;

impl Observer for Lines {
    fn step(&mut self, report: &StepReport, steps: u64) {
        println!("step {} of {steps}", report.step);
    }

    fn evaluated(&mut self, step: u64, evaluation: &Evaluation) {
        for task in &evaluation.tasks {
            println!(
                "step {step}: {} {} {:.3}",
                task.task, task.scores[0].name, task.scores[0].value
            );
        }
    }

    fn stop(&self) -> bool {
        false
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    let recipe = Recipe::parse("tiny.toml", RECIPE, &[])?;
    let (mut trainer, _) = Trainer::start(recipe, None, &run)?;
    trainer.run(&mut Lines)?;
    drop(trainer);

    let report = merge(&OpenRun::open(&run, false, None)?, &run.join("merged"), false)?;
    println!("merged {} tensors, {} stay per task", report.merged, report.kept.len());

    let photograph = folder.path().join("photograph.png");
    image::RgbImage::from_pixel(40, 30, image::Rgb([90, 120, 60])).save(&photograph)?;
    let predictor = Predictor::new(OpenRun::open(&run.join("merged"), false, None)?);
    for map in predictor.predict(&photograph)?.maps {
        println!("map {:?}", map.dim());
    }
    Ok(())
}
