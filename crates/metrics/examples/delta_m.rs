//! Scores of two tasks, and delta-m against models of one task: `cargo run -p polyptych-metrics
//! --example delta_m`.

use ndarray::Array3;
use polyptych_metrics::{Baseline, Depth, Metric, Score, SemsegIou, delta_m};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target = Array3::from_shape_fn((1, 8, 8), |(_, y, x)| f32::from(u8::from(x + y > 7)));
    let mut prediction = target.clone();
    prediction[[0, 0, 0]] = 1.0;
    let mut semseg = SemsegIou::new(2)?;
    semseg.update(prediction.view(), target.view())?;

    let mut target = Array3::from_shape_fn((1, 8, 8), |(_, y, _)| 1.0 + y as f32);
    let prediction = target.mapv(|metres| metres + 0.5);
    // NaN says that a pixel has no label: it never counts.
    target[[0, 0, 0]] = f32::NAN;
    let mut depth = Depth::new();
    depth.update(prediction.view(), target.view())?;

    let headline = |metric: &dyn Metric| -> Result<Score, Box<dyn std::error::Error>> {
        let scores = metric.compute()?;
        scores
            .iter()
            .for_each(|score| println!("{}: {:.3} {}", score.name, score.value, score.unit));
        Ok(scores[0])
    };
    let results = [("semseg", headline(&semseg)?), ("depth", headline(&depth)?)];
    let single = |name, value, higher_is_better| Baseline {
        task: if higher_is_better { "semseg".into() } else { "depth".into() },
        metric: String::from(name),
        value,
        higher_is_better,
    };
    let delta = delta_m(&results, &[single("miou", 95.0, true), single("rmse_m", 0.6, false)])?;
    println!("delta-m: {:+.2} %", delta.percent);
    Ok(())
}
