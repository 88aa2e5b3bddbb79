//! Predictions as people look at them: one picture per image, photograph first, then each task.
//!
//! Classes have the colours of their task, normals are RGB (x red, y green, z blue), depth runs
//! from near (yellow) to far (violet), probabilities are grey.

use image::{Rgb, RgbImage};
use ndarray::{Array3, ArrayView3};
use polyptych_data::{TaskKind, TaskSpec};

const GAP: u32 = 4;
const UNKNOWN: [u8; 3] = [0, 0, 0];

/// One task's map as a picture.
///
/// `map`: `[channels, height, width]`, what [`Task::activate`](crate::Task::activate) gives.
pub fn picture(spec: &TaskSpec, map: ArrayView3<f32>) -> RgbImage {
    painted(spec, map, value_range(map))
}

/// As [`picture`], with the depths between which colours run.
pub(crate) fn painted(spec: &TaskSpec, map: ArrayView3<f32>, [near, far]: [f32; 2]) -> RgbImage {
    let paint: Box<dyn Fn(usize, usize) -> [u8; 3]> = match spec.kind {
        TaskKind::Semseg | TaskKind::HumanParts => {
            Box::new(|y, x| class_colour(spec, map[[0, y, x]]))
        }
        TaskKind::Normals => Box::new(|y, x| {
            [0, 1, 2].map(|c| ((map[[c, y, x]] * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0) as u8)
        }),
        TaskKind::Depth => {
            Box::new(move |y, x| depth_colour((map[[0, y, x]] - near) / (far - near).max(1e-6)))
        }
        _ => Box::new(|y, x| [(map[[0, y, x]].clamp(0.0, 1.0) * 255.0) as u8; 3]),
    };
    let (_, height, width) = map.dim();
    RgbImage::from_fn(width as u32, height as u32, |x, y| Rgb(paint(y as usize, x as usize)))
}

/// Photograph and maps side by side, all of the photograph's size.
pub fn panel(photograph: &Array3<u8>, pictures: &[RgbImage]) -> RgbImage {
    let (height, width, _) = photograph.dim();
    let (height, width) = (height as u32, width as u32);
    let columns = pictures.len() as u32 + 1;
    let mut panel = RgbImage::from_pixel(columns * (width + GAP) - GAP, height, Rgb([255; 3]));
    let photograph = RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|c| photograph[[y as usize, x as usize, c]]))
    });
    for (column, picture) in std::iter::once(&photograph).chain(pictures).enumerate() {
        let x = column as i64 * i64::from(width + GAP);
        image::imageops::replace(&mut panel, picture, x, 0);
    }
    panel
}

pub(crate) fn class_colour(spec: &TaskSpec, class: f32) -> [u8; 3] {
    let index = class as usize;
    let fallback = || {
        // Distinct enough without a palette: steps of the golden angle around the colour circle.
        let colour = colorous::RAINBOW.eval_continuous((index as f64 * 0.618_034).fract());
        [colour.r, colour.g, colour.b]
    };
    match class.is_nan() {
        true => UNKNOWN,
        false => spec.palette.get(index).copied().unwrap_or_else(fallback),
    }
}

pub(crate) fn depth_colour(share: f32) -> [u8; 3] {
    if share.is_nan() {
        return UNKNOWN;
    }
    let colour = colorous::PLASMA.eval_continuous(f64::from(1.0 - share.clamp(0.0, 1.0)));
    [colour.r, colour.g, colour.b]
}

/// The 2nd and 98th percentile, so that a single far pixel does not darken the rest.
pub(crate) fn value_range(map: ArrayView3<f32>) -> [f32; 2] {
    let mut values: Vec<f32> = map.iter().copied().filter(|v| v.is_finite()).collect();
    if values.is_empty() {
        return [0.0, 1.0];
    }
    let last = values.len() - 1;
    let mut at = |share: f64| {
        let place = (last as f64 * share) as usize;
        *values.select_nth_unstable_by(place, f32::total_cmp).1
    };
    [at(0.02), at(0.98)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: TaskKind) -> TaskSpec {
        let palette = vec![[1, 2, 3], [4, 5, 6]];
        let classes = vec!["a".into(), "b".into()];
        TaskSpec { name: "t".into(), kind, classes, palette, flip_pairs: vec![] }
    }

    #[test]
    fn maps_have_the_colours_people_know() {
        let map = Array3::from_shape_vec((1, 1, 3), vec![0.0, 1.0, f32::NAN]).unwrap();
        let classes = picture(&spec(TaskKind::Semseg), map.view());
        assert_eq!(
            classes.pixels().map(|p| p.0).collect::<Vec<_>>(),
            [[1, 2, 3], [4, 5, 6], UNKNOWN]
        );
        let facing = Array3::from_shape_vec((3, 1, 1), vec![0.0, 0.0, 1.0]).unwrap();
        assert_eq!(picture(&spec(TaskKind::Normals), facing.view())[(0, 0)].0, [127, 127, 255]);
        let depth = Array3::from_shape_vec((1, 1, 2), vec![1.0, 9.0]).unwrap();
        let colours = picture(&spec(TaskKind::Depth), depth.view());
        assert_ne!(colours[(0, 0)], colours[(1, 0)]);
        let half = Array3::from_elem((1, 1, 1), 0.5);
        assert_eq!(picture(&spec(TaskKind::Edge), half.view())[(0, 0)].0, [127; 3]);
    }

    #[test]
    fn classes_without_a_palette_differ() {
        let spec = TaskSpec { palette: vec![], ..spec(TaskKind::HumanParts) };
        let map = Array3::from_shape_fn((1, 1, 7), |(_, _, class)| class as f32);
        let picture = picture(&spec, map.view());
        let colours: std::collections::BTreeSet<_> = picture.pixels().map(|p| p.0).collect();
        assert_eq!(colours.len(), 7);
    }

    #[test]
    fn depth_without_a_number_is_dark() {
        let map = Array3::from_elem((1, 1, 2), f32::NAN);
        let picture = picture(&spec(TaskKind::Depth), map.view());
        assert!(picture.pixels().all(|p| p.0 == UNKNOWN));
    }

    #[test]
    fn panels_stand_side_by_side() {
        let photograph = Array3::from_elem((2, 3, 3), 9u8);
        let map = RgbImage::from_pixel(3, 2, Rgb([7; 3]));
        let panel = panel(&photograph, &[map]);
        assert_eq!(panel.dimensions(), (3 + GAP + 3, 2));
        assert_eq!(
            (panel[(0, 0)].0, panel[(3, 0)].0, panel[(3 + GAP, 1)].0),
            ([9; 3], [255; 3], [7; 3])
        );
    }
}
