//! What does it cost to measure one image? Every dense metric on a scene of 224 x 224 pixels, and
//! the boundaries' odsF, the dearest, by size and by number of thresholds.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ndarray::{Array3, Axis};
use polyptych_data::{Loader, LoaderConfig};
use polyptych_metrics::{Depth, Edges, EdgesConfig, Metric, Normals, Saliency, SemsegIou};
use polyptych_synthetic::{Scenes, ScenesConfig};

const SIZE: usize = 224;
/// Of the scenes.
const CLASSES: usize = 16;

/// Targets of one scene, `[channels, height, width]`, NaN where there is no label.
fn targets(size: usize) -> BTreeMap<String, Array3<f32>> {
    let config = ScenesConfig { seed: 0, split: "val".into(), len: 1, height: size, width: size };
    let scenes = Scenes::new(config).expect("the configuration is in range");
    let config = LoaderConfig { threads: Some(1), ..LoaderConfig::evaluation(1, [size; 2]) };
    let loader = Loader::new(Arc::new(scenes), config).expect("the configuration is in range");
    let mut batches = loader.epoch(0, 0).expect("a thread starts");
    let batch = batches.next().expect("there is a scene").expect("it is whole");
    let first = |(task, maps): (&String, &ndarray::Array4<f32>)| {
        (task.clone(), maps.index_axis(Axis(0), 0).to_owned())
    };
    batch.targets.iter().map(first).collect()
}

/// A prediction that is right in most places: the target moved by three columns, `fill` where it has
/// no label.
fn shifted(target: &Array3<f32>, fill: f32) -> Array3<f32> {
    Array3::from_shape_fn(target.dim(), |(c, y, x)| {
        let value = target[[c, y, x.saturating_sub(3)]];
        if value.is_nan() { fill } else { value }
    })
}

/// A soft map of boundaries: a crest one pixel beside the true one, over speckle.
fn soft(target: &Array3<f32>) -> Array3<f32> {
    Array3::from_shape_fn(target.dim(), |(c, y, x)| {
        let near = |step: usize| target[[c, y, x.saturating_sub(step)]];
        let speckle = ((y * 73 + x * 151) % 97) as f32 / 97.0;
        0.6 * near(1) + 0.2 * near(2) + 0.2 * speckle
    })
}

fn update(metric: &mut dyn Metric, prediction: &Array3<f32>, target: &Array3<f32>) {
    metric.update(prediction.view(), target.view()).expect("the maps fit");
    black_box(&metric);
}

fn dense(criterion: &mut Criterion) {
    let targets = targets(SIZE);
    let iou = SemsegIou::new(CLASSES).expect("there are classes");
    let metrics: [(&str, Box<dyn Metric>, f32); 4] = [
        ("semseg", Box::new(iou), 0.0),
        ("sal", Box::new(Saliency::new()), 0.0),
        ("normals", Box::new(Normals::new()), 1.0),
        ("depth", Box::new(Depth::new()), 1.0),
    ];
    let mut group = criterion.benchmark_group("metric_224px");
    for (task, mut metric, fill) in metrics {
        let target = &targets[task];
        let prediction = shifted(target, fill);
        group.bench_function(task, |b| b.iter(|| update(metric.as_mut(), &prediction, target)));
    }
    group.finish();
}

fn boundaries(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metric_ods_f");
    group.sample_size(10);
    for (size, num_thresholds) in [(112, 99), (224, 20), (224, 99), (448, 20)] {
        let target = targets(size).remove("edge").expect("scenes have boundaries");
        let prediction = soft(&target);
        let config = EdgesConfig { num_thresholds, ..EdgesConfig::default() };
        let mut metric = Edges::new(config).expect("the configuration is in range");
        let id = BenchmarkId::new(format!("{num_thresholds}_thresholds"), size);
        group.bench_function(id, |b| b.iter(|| update(&mut metric, &prediction, &target)));
    }
    group.finish();
}

criterion_group!(benches, dense, boundaries);
criterion_main!(benches);
