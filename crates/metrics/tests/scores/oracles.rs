//! Agreement with `oracles/dense_metrics.safetensors`: three 16 x 20 maps per task drawn by PyTorch
//! (seed 15) and measured there by the equations, in float32.

use ndarray::{Array4, Axis};
use polyptych_metrics::{Depth, Metric, Normals, SemsegIou};
use safetensors::{Dtype, SafeTensors};

const FILE: &[u8] = include_bytes!("../oracles/dense_metrics.safetensors");

fn load(name: &str) -> (Vec<usize>, Vec<f32>) {
    let file = SafeTensors::deserialize(FILE).unwrap();
    let tensor = file.tensor(name).unwrap();
    let bytes = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F32 => bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
        Dtype::I64 => {
            bytes.chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f32).collect()
        }
        Dtype::U8 => bytes.iter().map(|&b| f32::from(b)).collect(),
        other => panic!("unexpected dtype {other:?} of {name}"),
    };
    (tensor.shape().to_vec(), values)
}

/// `[images, channels, height, width]`
fn images(name: &str) -> Array4<f32> {
    let (shape, values) = load(name);
    let channels = if shape.len() == 4 { shape[1] } else { 1 };
    Array4::from_shape_vec((3, channels, 16, 20), values).unwrap()
}

/// The maps of the label, `NaN` where `input.valid` is 0.
fn labels(name: &str) -> Array4<f32> {
    let valid = images("input.valid").mapv(|v| if v == 0.0 { f32::NAN } else { 0.0 });
    images(name) + valid
}

fn run(metric: &mut impl Metric, prediction: &Array4<f32>, target: &Array4<f32>) {
    for (prediction, target) in prediction.axis_iter(Axis(0)).zip(target.axis_iter(Axis(0))) {
        metric.update(prediction, target).unwrap();
    }
}

/// Compares the score `name` with `scale` times the oracle tensor `key`.
fn check(metric: &impl Metric, name: &str, key: &str, scale: f64, tolerance: f64) {
    let expected = scale * f64::from(load(key).1[0]);
    let found = metric.compute().unwrap().into_iter().find(|s| s.name == name).unwrap().value;
    assert!((found - expected).abs() < tolerance, "{name}: {found} {expected}");
}

#[test]
fn semseg() {
    let mut metric = SemsegIou::new(5).unwrap();
    let target = images("input.semseg.label").mapv(|v| if v == 255.0 { f32::NAN } else { v });
    run(&mut metric, &images("input.semseg.pred"), &target);
    check(&metric, "miou", "output.semseg.miou", 100.0, 1e-4);
    let confusion: Vec<f32> = metric.confusion().iter().map(|&count| count as f32).collect();
    assert_eq!(confusion, load("output.semseg.confusion").1);
    for (found, expected) in metric.per_class().into_iter().zip(load("output.semseg.iou").1) {
        assert!((found.value.unwrap() - 100.0 * f64::from(expected)).abs() < 1e-4);
    }
}

#[test]
fn normals() {
    let mut metric = Normals::new();
    run(&mut metric, &images("input.normals.pred"), &labels("input.normals.label"));
    // The arc cosine in float32 is good to about 1e-4 degrees at these angles.
    check(&metric, "mean_angle_deg", "output.normals.mean_deg", 1.0, 1e-4);
    check(&metric, "rmse_angle_deg", "output.normals.rmse_deg", 1.0, 1e-4);
    // Half a bin of the histogram, and as above.
    check(&metric, "median_angle_deg", "output.normals.median_deg", 1.0, 6e-4);
    check(&metric, "within_11_25", "output.normals.within_11.25", 100.0, 1e-4);
    check(&metric, "within_22_5", "output.normals.within_22.5", 100.0, 1e-4);
    check(&metric, "within_30", "output.normals.within_30", 100.0, 1e-4);
}

#[test]
fn depth() {
    let mut metric = Depth::new();
    run(&mut metric, &images("input.depth.pred"), &labels("input.depth.label"));
    check(&metric, "rmse_m", "output.depth.rmse", 1.0, 1e-6);
    check(&metric, "abs_rel", "output.depth.abs_rel", 1.0, 1e-6);
}

#[test]
fn perfect_predictions() {
    let mut semseg = SemsegIou::new(5).unwrap();
    let truth = images("input.semseg.pred");
    run(&mut semseg, &truth, &truth);
    assert_eq!(semseg.compute().unwrap()[0].value, 100.0);
    let mut normals = Normals::new();
    let truth = images("input.normals.label");
    run(&mut normals, &(&truth * 3.0), &truth);
    assert!(normals.compute().unwrap()[0].value < 1e-4);
    let mut depth = Depth::new();
    let truth = images("input.depth.label");
    run(&mut depth, &truth, &truth);
    assert_eq!(depth.compute().unwrap()[0].value, 0.0);
}
