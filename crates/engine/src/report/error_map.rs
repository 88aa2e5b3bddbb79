//! Where a map is wrong, and by how much.

use image::{Rgb, RgbImage};
use ndarray::{Array3, ArrayView3};
use polyptych_data::{TaskKind, TaskSpec};

use crate::report::panel::value_range;

const UNKNOWN: Rgb<u8> = Rgb([128; 3]);

/// Dark where all is right, light where it is most wrong, grey without a label; wrong classes red.
pub(crate) fn error_map(
    spec: &TaskSpec,
    truth: ArrayView3<f32>,
    map: ArrayView3<f32>,
    largest: f32,
) -> RgbImage {
    let (_, height, width) = truth.dim();
    let end = match spec.kind {
        TaskKind::Normals => 90.0,
        TaskKind::Depth => largest.max(1e-6),
        _ => 1.0,
    };
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let error = error_at(spec.kind, &truth, &map, [y as usize, x as usize]);
        match spec.kind {
            _ if error.is_nan() => UNKNOWN,
            TaskKind::Semseg | TaskKind::HumanParts if error > 0.0 => Rgb([214, 48, 49]),
            TaskKind::Semseg | TaskKind::HumanParts => Rgb([226, 230, 232]),
            _ => {
                let share = f64::from((error / end).clamp(0.0, 1.0));
                let colour = colorous::INFERNO.eval_continuous(share);
                Rgb([colour.r, colour.g, colour.b])
            }
        }
    })
}

/// What the colours of [`error_map`] mean.
pub(crate) fn error_words(kind: TaskKind, largest: f32) -> String {
    match kind {
        TaskKind::Semseg | TaskKind::HumanParts => "wrong pixels are red, grey has no label".into(),
        TaskKind::Normals => "from 0 (black) to 90 degrees (yellow), grey has no label".into(),
        TaskKind::Depth => {
            format!("from 0 (black) to {largest:.2} m (yellow), grey has no label")
        }
        _ => "from 0 (black) to 1 (yellow), grey has no label".into(),
    }
}

/// The 98th percentile of a depth map's errors in metres, where its colours end; nothing for other
/// tasks.
pub(crate) fn largest_error(
    spec: &TaskSpec,
    truth: ArrayView3<f32>,
    map: ArrayView3<f32>,
) -> Option<f32> {
    if spec.kind != TaskKind::Depth {
        return None;
    }
    let (_, height, width) = truth.dim();
    let errors = Array3::from_shape_fn((1, height, width), |(_, y, x)| {
        error_at(spec.kind, &truth, &map, [y, x])
    });
    Some(value_range(errors.view())[1])
}

/// The error of every pixel: 0 or 1 of classes, degrees, metres, a difference of probabilities;
/// NaN without a label.
fn error_at(kind: TaskKind, truth: &ArrayView3<f32>, map: &ArrayView3<f32>, at: [usize; 2]) -> f32 {
    let [y, x] = at;
    let of = |array: &ArrayView3<f32>, channel: usize| array[[channel, y, x]];
    match kind {
        TaskKind::Normals => {
            let (a, b) = ([0, 1, 2].map(|c| of(truth, c)), [0, 1, 2].map(|c| of(map, c)));
            let dot: f32 = (0..3).map(|c| a[c] * b[c]).sum();
            let length = |v: [f32; 3]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
            (dot / (length(a) * length(b)).max(1e-12)).clamp(-1.0, 1.0).acos().to_degrees()
        }
        TaskKind::Semseg | TaskKind::HumanParts => {
            let (a, b) = (of(truth, 0), of(map, 0));
            if a.is_nan() { a } else { f32::from(u8::from(a != b)) }
        }
        _ => (of(truth, 0) - of(map, 0)).abs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: TaskKind) -> TaskSpec {
        TaskSpec { name: "t".into(), kind, classes: vec![], palette: vec![], flip_pairs: vec![] }
    }

    fn row(values: &[f32]) -> Array3<f32> {
        Array3::from_shape_vec((1, 1, values.len()), values.to_vec()).unwrap()
    }

    #[test]
    fn errors_are_marked_and_missing_labels_are_grey() {
        let (truth, map) = (row(&[1.0, 2.0, f32::NAN]), row(&[1.0, 1.0, 1.0]));
        let picture = error_map(&spec(TaskKind::Semseg), truth.view(), map.view(), 0.0);
        let colours: Vec<[u8; 3]> = picture.pixels().map(|pixel| pixel.0).collect();
        assert_eq!(colours, [[226, 230, 232], [214, 48, 49], UNKNOWN.0]);
        let (truth, map) = (row(&[1.0, 3.0]), row(&[1.0, 1.0]));
        let picture = error_map(&spec(TaskKind::Depth), truth.view(), map.view(), 2.0);
        let sum = |x| picture[(x, 0)].0.iter().map(|&v| u32::from(v)).sum::<u32>();
        assert!(sum(0) < 30 && sum(1) > 400, "{} {}", sum(0), sum(1));
    }

    #[test]
    fn normals_are_wrong_by_their_angle() {
        let one = |v: [f32; 3]| Array3::from_shape_vec((3, 1, 1), v.to_vec()).unwrap();
        let (a, b) = (one([0.0, 0.0, 1.0]), one([0.0, 2.0, 0.0]));
        let error = error_at(TaskKind::Normals, &a.view(), &b.view(), [0, 0]);
        assert!((error - 90.0).abs() < 1e-3);
    }
}
