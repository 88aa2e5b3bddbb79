//! Every kind of label beside what plain arithmetic makes of it, whatever is drawn.

use std::f64::consts::PI;

use ndarray::{Array2, Array3, ArrayView2};
use proptest::prelude::*;

use super::super::*;
use super::task;

/// Places nearer than this to the border of a pixel may fall on either side of it.
const CLOSE: f64 = 1e-6;

/// A draw and its two sizes, `[height, width]`.
#[derive(Debug, Clone, Copy)]
struct Case {
    draw: Draw,
    source: [usize; 2],
    output: [usize; 2],
}

fn cases() -> impl Strategy<Value = Case> {
    let sides = |range: std::ops::Range<usize>| (range.clone(), range);
    let draw =
        (any::<bool>(), 0.5..2.0_f64, -180.0..180.0_f64, 0.4..1.0_f64, 0.0..1.0_f64, 0.0..1.0_f64);
    (sides(3..40), sides(3..40), draw).prop_map(|(source, output, draw)| {
        let (flip, scale, degrees, side, x, y) = draw;
        let draw = Draw { flip, scale, degrees, side, corner: [x, y] };
        Case { draw, source: source.into(), output: output.into() }
    })
}

impl Case {
    fn map(&self) -> Geometry {
        Geometry::new(self.source, self.output, &self.draw)
    }

    fn centre(&self) -> [f64; 2] {
        [self.source[1] as f64 / 2.0, self.source[0] as f64 / 2.0]
    }

    /// Sine and cosine of the counter-clockwise turn.
    fn turn(&self) -> (f64, f64) {
        (self.draw.degrees * PI / 180.0).sin_cos()
    }

    /// Corner and sides of the window on the canvas, x and y.
    fn window(&self) -> [[f64; 2]; 2] {
        let full = [self.source[1] as f64, self.source[0] as f64];
        let side = full.map(|full| self.draw.side * full);
        [[0, 1].map(|k| self.draw.corner[k] * (full[k] - side[k])), side]
    }

    /// Where the place `[x, y]` of the result lies in the source: out of the window, unturned and
    /// made smaller about the centre, mirrored back.
    fn back(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let ([corner, side], centre, (sin, cos)) = (self.window(), self.centre(), self.turn());
        let [height, width] = self.output.map(|v| v as f64);
        let canvas = [corner[0] + side[0] * x / width, corner[1] + side[1] * y / height];
        let [a, b] = [0, 1].map(|k| (canvas[k] - centre[k]) / self.draw.scale);
        // Rows grow downwards: what was turned counter-clockwise turns clockwise on paper.
        let [a, b] = [a * cos - b * sin, a * sin + b * cos];
        [centre[0] + if self.draw.flip { -a } else { a }, centre[1] + b]
    }

    /// The same the other way: mirrored, turned and made larger about the centre, into the window.
    fn forth(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let ([corner, side], centre, (sin, cos)) = (self.window(), self.centre(), self.turn());
        let [height, width] = self.output.map(|v| v as f64);
        let [a, b] = [x - centre[0], y - centre[1]];
        let a = if self.draw.flip { -a } else { a };
        let [a, b] = [a * cos + b * sin, b * cos - a * sin].map(|v| self.draw.scale * v);
        let canvas = [centre[0] + a, centre[1] + b];
        [(canvas[0] - corner[0]) * width / side[0], (canvas[1] - corner[1]) * height / side[1]]
    }

    /// The value under the centre of each pixel, and which pixels are too close to call.
    fn sampled(&self, source: &Array2<u8>, outside: u8) -> (Array2<u8>, Array2<bool>) {
        let place = |y: usize, x: usize| self.back([x as f64 + 0.5, y as f64 + 0.5]);
        let value = |(y, x)| pixel(place(y, x), self.source).map_or(outside, |at| source[at]);
        let close = |(y, x)| place(y, x).iter().any(|v| is_close(*v));
        (Array2::from_shape_fn(self.output, value), Array2::from_shape_fn(self.output, close))
    }
}

/// Row and column of the pixel at `[x, y]`.
fn pixel([x, y]: [f64; 2], [height, width]: [usize; 2]) -> Option<[usize; 2]> {
    let inside = x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64;
    inside.then_some([y as usize, x as usize])
}

fn is_close(place: f64) -> bool {
    (place - place.round()).abs() < CLOSE
}

/// Values that repeat after no row and no column.
fn noise(size: [usize; 2], seed: u32, values: &[u8]) -> Array2<u8> {
    let mut state = seed | 1;
    Array2::from_shape_simple_fn(size, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        values[(state >> 16) as usize % values.len()]
    })
}

/// Unit vectors, some of them zero for no label.
fn directions(size: [usize; 2], seed: u32) -> Array3<f32> {
    let (angles, heights) =
        (noise(size, seed, &[0, 40, 90, 170, 230]), noise(size, seed + 9, &[0, 1, 2, 3]));
    Array3::from_shape_fn((size[0], size[1], 3), |(y, x, c)| {
        let (sin, cos) = (f32::from(angles[[y, x]]) / 40.0).sin_cos();
        let flat = [0.0, 0.6, 0.8, 1.0][usize::from(heights[[y, x]])];
        let up = [0.0, 0.8, 0.6, 0.0][usize::from(heights[[y, x]])];
        [flat * cos, flat * sin, up][c]
    })
}

fn same(found: ArrayView2<u8>, expected: &Array2<u8>, unsure: &Array2<bool>) -> bool {
    found.indexed_iter().all(|(at, value)| unsure[at] || *value == expected[at])
}

/// The label that lands where boundary pixels do, over the one under each pixel's centre.
fn landed_by_hand(case: &Case, source: &Array2<u8>, outside: u8) -> (Array2<u8>, Array2<bool>) {
    let (mut map, mut unsure) = case.sampled(source, outside);
    for ((y, x), _) in source.indexed_iter().filter(|(_, label)| **label == 1) {
        let place = case.forth([x as f64 + 0.5, y as f64 + 0.5]);
        if place.iter().any(|v| is_close(*v)) {
            for nudge in [[-CLOSE, -CLOSE], [-CLOSE, CLOSE], [CLOSE, -CLOSE], [CLOSE, CLOSE]] {
                let place = [place[0] + 2.0 * nudge[0], place[1] + 2.0 * nudge[1]];
                pixel(place, case.output).into_iter().for_each(|at| unsure[at] = true);
            }
        } else if let Some(at) = pixel(place, case.output) {
            map[at] = 1;
        }
    }
    (map, unsure)
}

fn moved(case: &Case, label: &Label, task: Option<&TaskSpec>, outside: u8) -> Label {
    let map = case.map();
    warped(label, task, (&map, &Lookup::new(&map)), outside)
}

/// Pixels of an axis of length `from` whose centres lie on pixel `index` of one of length `to`;
/// where it grows, the one under that pixel's centre.
fn covered(index: usize, from: usize, to: usize) -> Vec<usize> {
    let on = |k: usize, from: usize, to: usize| (2 * k + 1) * to / (2 * from);
    match to < from {
        true => (0..from).filter(|&k| on(k, from, to) == index).collect(),
        false => vec![on(index, to, from)],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Vectors are mirrored and turned where they stand, and then averaged over what a pixel covers.
    #[test]
    fn normals_turn_with_the_image(case in cases(), seed in any::<u16>()) {
        let source = directions(case.source, u32::from(seed));
        let (sin, cos) = case.turn();
        let mirror = if case.draw.flip { -1.0 } else { 1.0 };
        let turned = Array3::from_shape_fn(source.dim(), |(y, x, c)| {
            let [a, b, up] = [0, 1, 2].map(|c| f64::from(source[[y, x, c]]));
            let a = mirror * a;
            [a * cos - b * sin, a * sin + b * cos, up][c]
        });
        let map = case.map();
        let found = warp::normals(source.view(), &map);
        let outside = Label::Normals(found.clone());
        prop_assert_eq!(&moved(&case, &Label::Normals(source), None, 0), &outside);
        for (y, x) in ndarray::indices((case.output[0], case.output[1])) {
            let reads = map.grid().into_iter().map(|[u, v]| case.back([x as f64 + u, y as f64 + v]));
            let reads: Vec<[f64; 2]> = reads.collect();
            if reads.iter().flatten().any(|v| is_close(*v)) {
                continue;
            }
            let places = reads.into_iter().filter_map(|read| pixel(read, case.source));
            let sum = places.fold([0.0; 3], |sum, [r, k]| {
                [0, 1, 2].map(|c| sum[c] + turned[[r, k, c]])
            });
            let length = sum.iter().map(|v| v * v).sum::<f64>().sqrt();
            // What nearly cancels has a direction that rounding decides.
            if length > 0.0 && length < 0.05 {
                continue;
            }
            for c in 0..3 {
                let expected = if length > 0.0 { sum[c] / length } else { 0.0 };
                let value = f64::from(found[[y, x, c]]);
                prop_assert!((value - expected).abs() < 1e-3, "{y} {x} {c}: {value} {expected}");
            }
        }
    }

    /// Each annotator's boundaries land by themselves, in the order of annotators.
    #[test]
    fn boundaries_of_every_annotator_land_where_their_pixels_do(
        case in cases(),
        seed in any::<u16>(),
        annotators in 1_usize..4,
        published in any::<bool>(),
    ) {
        let outside = if published { 0 } else { IGNORE };
        let map = |k: usize| noise(case.source, 77 * u32::from(seed) + k as u32 * 2, &[0, 0, 0, 1, 0, IGNORE]);
        let maps: Vec<Array2<u8>> = (0..annotators).map(map).collect();
        let Label::Edges(found) = moved(&case, &Label::Edges(maps.clone()), None, outside) else {
            panic!("another label")
        };
        prop_assert_eq!(found.len(), annotators);
        for (source, found) in maps.iter().zip(&found) {
            let (expected, unsure) = landed_by_hand(&case, source, outside);
            prop_assert!(same(found.view(), &expected, &unsure), "{found} {expected}");
        }
    }

    /// Parts that are left or right change with the mirror, and only with it.
    #[test]
    fn left_and_right_parts_swap_in_the_mirror_alone(case in cases(), seed in any::<u16>()) {
        let source = noise(case.source, u32::from(seed), &[0, 1, 2, 3, 4, 5, IGNORE]);
        let pairs = vec![[1, 4], [3, 2]];
        let parts = task("parts", TaskKind::HumanParts, pairs);
        let label = Label::Classes(source.clone());
        let partner = |class: u8| match class {
            1 => 4,
            4 => 1,
            2 => 3,
            3 => 2,
            other => other,
        };
        let (expected, unsure) = case.sampled(&source, IGNORE);
        let swapped = if case.draw.flip { expected.mapv(partner) } else { expected.clone() };
        let Label::Classes(found) = moved(&case, &label, Some(&parts), IGNORE) else { panic!() };
        prop_assert!(same(found.view(), &swapped, &unsure), "{found} {swapped}");
        // Of the same map nothing changes where no pairs are named.
        let plain = task("parts", TaskKind::HumanParts, Vec::new());
        let Label::Classes(found) = moved(&case, &label, Some(&plain), IGNORE) else { panic!() };
        prop_assert!(same(found.view(), &expected, &unsure), "{found} {expected}");
    }

    #[test]
    fn presence_and_depth_are_those_under_each_pixel(case in cases(), seed in any::<u16>()) {
        let source = noise(case.source, u32::from(seed), &[0, 1, IGNORE]);
        let (expected, unsure) = case.sampled(&source, IGNORE);
        let Label::Binary(found) = moved(&case, &Label::Binary(source.clone()), None, IGNORE) else { panic!() };
        prop_assert!(same(found.view(), &expected, &unsure), "{found} {expected}");
        let metres = source.mapv(|v| f32::from(v) / 4.0);
        let Label::Depth(found) = moved(&case, &Label::Depth(metres), None, IGNORE) else { panic!() };
        let (expected, unsure) = case.sampled(&source, 0);
        for (at, depth) in found.indexed_iter().filter(|(at, _)| !unsure[*at]) {
            let metres = f64::from(expected[at]) / 4.0 * case.draw.side / case.draw.scale;
            prop_assert!((f64::from(*depth) - metres).abs() < 1e-4 * (1.0 + metres));
        }
    }

    /// Without augmentation: what evaluation sees.
    #[test]
    fn resized_labels_are_those_of_plain_counting(
        source in (1_usize..30, 1_usize..30),
        output in (1_usize..30, 1_usize..30),
        seed in any::<u16>(),
    ) {
        let (from, to, seed) = ([source.0, source.1], [output.0, output.1], u32::from(seed));
        let under = |k: usize, axis: usize| (2 * k + 1) * from[axis] / (2 * to[axis]);
        let nearest = |map: &Array2<u8>| {
            Array2::from_shape_fn(to, |(y, x)| map[[under(y, 0), under(x, 1)]])
        };
        let map = noise(from, seed, &[0, 1, 2, IGNORE]);
        let near = nearest(&map);
        prop_assert_eq!(resized(&Label::Classes(map.clone()), to), Label::Classes(near.clone()));
        prop_assert_eq!(resized(&Label::Binary(map.clone()), to), Label::Binary(near.clone()));
        let metres = |map: &Array2<u8>| Label::Depth(map.mapv(|v| f32::from(v) / 4.0));
        prop_assert_eq!(resized(&metres(&map), to), metres(&near));

        let maps = [map, noise(from, seed + 2, &[0, 0, 0, 0, 1])];
        let landed = maps.iter().map(|map| {
            let mut result = nearest(map);
            for ((y, x), _) in map.indexed_iter().filter(|(_, label)| **label == 1) {
                result[[(2 * y + 1) * to[0] / (2 * from[0]), (2 * x + 1) * to[1] / (2 * from[1])]] = 1;
            }
            result
        });
        let expected = Label::Edges(landed.collect());
        prop_assert_eq!(resized(&Label::Edges(maps.to_vec()), to), expected);

        let vectors = directions(from, seed);
        let Label::Normals(found) = resized(&Label::Normals(vectors.clone()), to) else { panic!() };
        for (y, x) in ndarray::indices((to[0], to[1])) {
            let rows = covered(y, from[0], to[0]);
            let columns = covered(x, from[1], to[1]);
            let places = rows.iter().flat_map(|r| columns.iter().map(move |k| (*r, *k)));
            let sum = places.fold([0.0_f64; 3], |sum, (r, k)| {
                [0, 1, 2].map(|c| sum[c] + f64::from(vectors[[r, k, c]]))
            });
            let length = sum.iter().map(|v| v * v).sum::<f64>().sqrt();
            if length > 0.0 && length < 0.05 {
                continue;
            }
            for c in 0..3 {
                let expected = if length > 0.0 { sum[c] / length } else { 0.0 };
                prop_assert!((f64::from(found[[y, x, c]]) - expected).abs() < 1e-3);
            }
        }
        let tags = Label::Tags(vec![true, false]);
        prop_assert_eq!(resized(&tags, to), tags);
    }
}
