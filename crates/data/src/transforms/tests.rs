//! Image and labels move together, whatever is drawn.

mod properties;

use std::collections::BTreeMap;

use ndarray::{Array3, s};
use proptest::prelude::*;

use super::unit::normalised;
use super::*;

const STILL: Draw = Draw { flip: false, scale: 1.0, degrees: 0.0, side: 1.0, corner: [0.5; 2] };

fn fixed(flip: f32, scale: f32, degrees: f32) -> AugmentConfig {
    AugmentConfig { flip, scale: [scale; 2], rotate_degrees: degrees, ..AugmentConfig::pascal() }
}

fn task(name: &str, kind: TaskKind, flip_pairs: Vec<[u8; 2]>) -> TaskSpec {
    let classes = (0..4).map(|k| k.to_string()).collect();
    TaskSpec { name: name.to_owned(), kind, classes, palette: Vec::new(), flip_pairs }
}

fn key(index: u64) -> Key {
    Key { seed: 7, epoch: 0, index }
}

/// Every kind of label, all different at every pixel.
fn sample(height: usize, width: usize) -> Sample {
    let byte =
        |limit: usize| Array2::from_shape_fn((height, width), |(y, x)| ((5 * y + x) % limit) as u8);
    let normal = |(y, x, c): (usize, usize, usize)| {
        let [a, b] = [(x as f32) - 3.5, (y as f32) - 2.5];
        normalised([a, b, 4.0])[c]
    };
    let labels = [
        ("parts", Label::Classes(byte(4))),
        ("sal", Label::Binary(byte(2))),
        ("edge", Label::Edges(vec![byte(2), byte(3).mapv(|v| v / 2)])),
        ("normals", Label::Normals(Array3::from_shape_fn((height, width, 3), normal))),
        ("depth", Label::Depth(byte(200).mapv(|v| 1.0 + f32::from(v)))),
        ("tags", Label::Tags(vec![true, false, false, true])),
    ];
    Sample {
        name: "s".to_owned(),
        image: Array3::from_shape_fn((height, width, 3), |(y, x, c)| (31 * y + 7 * x + c) as u8),
        labels: labels.map(|(name, label)| (name.to_owned(), label)).into(),
    }
}

/// A mirror image has its right on the left, and what is asked for is mirrored with it.
#[test]
fn words_and_the_image_that_they_ask_for_turn_with_the_image() {
    let image = sample(6, 8).image;
    let caption = Label::Caption("a ball on the left, a box on the right".replace(',', ""));
    let asked = Label::Modified { text: "move it left".into(), image: image.clone() };
    let labels = [("caption".to_owned(), caption), ("asked".to_owned(), asked)].into();
    let whole = Sample { labels, ..sample(6, 8) };
    let flip = Transform::new([6, 8], [0; 3], Some(fixed(1.0, 1.0, 0.0))).unwrap();
    let turned = flip.apply(&whole, &[], key(0));
    let words = |name: &str| turned.labels[name].text().unwrap().to_owned();
    assert_eq!(words("caption"), "a ball on the right a box on the left");
    assert_eq!(words("asked"), "move it right");
    let Label::Modified { image: asked, .. } = &turned.labels["asked"] else { panic!("another") };
    assert_eq!(*asked, turned.image);
    assert_ne!(*asked, image);
    let small = Transform::new([3, 4], [0; 3], None).unwrap().apply(&whole, &[], key(0));
    let Label::Modified { image: asked, .. } = &small.labels["asked"] else { panic!("another") };
    assert_eq!(*asked, small.image);
}

#[test]
fn flipping_twice_is_the_identity_and_once_is_not() {
    let tasks = [task("parts", TaskKind::HumanParts, vec![[1, 2]])];
    let flip = Transform::new([6, 8], [0; 3], Some(fixed(1.0, 1.0, 0.0))).unwrap();
    let before = sample(6, 8);
    let once = flip.apply(&before, &tasks, key(0));
    let mirrored = before.image.slice(s![.., ..;-1, ..]).to_owned();
    assert_eq!(once.image, mirrored);
    let Label::Classes(parts) = &once.labels["parts"] else { panic!("another label") };
    // Column 7 of the first row held class 3, column 6 class 2, which becomes its partner 1.
    assert_eq!(parts.slice(s![0, ..4]).to_vec(), [3, 1, 2, 0]);
    let twice = flip.apply(&once, &tasks, key(1));
    let (Label::Normals(a), Label::Normals(b)) =
        (&twice.labels["normals"], &before.labels["normals"])
    else {
        panic!("another label")
    };
    assert!((a - b).iter().all(|v| v.abs() < 1e-6));
    let rest = |sample: Sample| {
        let labels: BTreeMap<_, _> =
            sample.labels.into_iter().filter(|(name, _)| name != "normals").collect();
        (sample.image, labels)
    };
    assert_eq!(rest(twice), rest(before));
}

#[test]
fn flip_changes_the_sign_of_x_alone() {
    let flip = Transform::new([1, 2], [0; 3], Some(fixed(1.0, 1.0, 0.0))).unwrap();
    let normals = Array3::from_shape_vec((1, 2, 3), vec![0.6, 0.0, 0.8, 0.0, 0.6, 0.8]).unwrap();
    let labels = BTreeMap::from([("n".to_owned(), Label::Normals(normals))]);
    let sample = Sample { name: "s".to_owned(), image: Array3::zeros((1, 2, 3)), labels };
    let Label::Normals(found) = &flip.apply(&sample, &[], key(0)).labels["n"] else { panic!() };
    let expected = [0.0, 0.6, 0.8, -0.6, 0.0, 0.8];
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found}");
}

#[test]
fn normals_turn_with_the_image_and_back() {
    let right = Array3::from_shape_fn((9, 9, 3), |(_, _, c)| [0.8_f32, 0.0, 0.6][c]);
    let turn = |degrees| Geometry::new([9, 9], [9, 9], &Draw { degrees, ..STILL });
    let up = warp::normals(right.view(), &turn(90.0));
    // What pointed right in the image points up once the image has turned counter-clockwise.
    let expected = [0.0, 0.8, 0.6];
    assert!(
        (0..3).all(|c| (up[[4, 4, c]] - expected[c]).abs() < 1e-6),
        "{:?}",
        up.slice(s![4, 4, ..])
    );
    let there = warp::normals(right.view(), &turn(17.0));
    let back = warp::normals(there.view(), &turn(-17.0));
    assert!((&back - &right).slice(s![3..6, 3..6, ..]).iter().all(|v| v.abs() < 1e-5));
    assert!((&there - &right)[[4, 4, 1]].abs() > 0.2);
}

#[test]
fn depth_is_divided_by_the_zoom() {
    let labels =
        BTreeMap::from([("depth".to_owned(), Label::Depth(Array2::from_elem((8, 8), 6.0)))]);
    let sample = Sample { name: "s".to_owned(), image: Array3::zeros((8, 8, 3)), labels };
    let depth = |config| {
        let transform = Transform::new([8, 8], [0; 3], Some(config)).unwrap();
        match &transform.apply(&sample, &[], key(0)).labels["depth"] {
            Label::Depth(map) => map.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(depth(fixed(0.0, 2.0, 0.0)), Array2::from_elem((8, 8), 3.0));
    assert_eq!(depth(AugmentConfig { crop: [0.5; 2], ..fixed(0.0, 1.0, 0.0) })[[0, 0]], 3.0);
    let smaller = depth(fixed(0.0, 0.5, 0.0));
    assert_eq!((smaller[[4, 4]], smaller[[0, 0]]), (12.0, 0.0));
}

#[test]
fn outside_is_unlabelled_and_has_the_fill_colour() {
    let shrink = Transform::new([6, 8], [9, 8, 7], Some(fixed(0.0, 0.5, 0.0))).unwrap();
    let result = shrink.apply(&sample(6, 8), &[], key(0));
    assert_eq!(result.image.slice(s![0, 0, ..]).to_vec(), [9, 8, 7]);
    for name in ["parts", "sal", "edge", "normals", "depth"] {
        let target = result.labels[name].to_array();
        assert!(target[[0, 0, 0]].is_nan(), "{name}");
        assert!(!target[[0, 3, 4]].is_nan(), "{name}");
    }
}

#[test]
fn without_augmentation_the_same_size_changes_nothing() {
    let plain = Transform::new([6, 8], [0; 3], None).unwrap();
    let before = sample(6, 8);
    let mut after = plain.apply(&before, &[], key(0));
    let (name, normals) = after.labels.remove_entry("normals").unwrap();
    let difference = normals.to_array() - before.labels["normals"].to_array();
    assert!(difference.iter().all(|v| v.abs() < 1e-6));
    after.labels.insert(name, before.labels["normals"].clone());
    assert_eq!(after, before);
}

#[test]
fn thin_edges_survive_a_turn() {
    let map = Array2::from_shape_fn((64, 64), |(y, _)| u8::from(y == 32));
    let geometry = Geometry::new([64, 64], [16, 16], &Draw { degrees: 10.0, ..STILL });
    let small = warp::edges(map.view(), &geometry, &Lookup::new(&geometry), IGNORE);
    assert!((2..14).all(|x| (0..16).any(|y| small[[y, x]] == 1)));
}

#[test]
fn an_empty_size_is_refused() {
    let error = Transform::new([0, 8], [0; 3], None).unwrap_err();
    assert!(error.to_string().starts_with("loader: img_size: expected [height, width]"));
}

/// Image and depth both say where a pixel came from: red and class the column, green and depth the row.
fn coordinates(height: usize, width: usize) -> Sample {
    let labels = [
        ("column", Label::Classes(Array2::from_shape_fn((height, width), |(_, x)| x as u8))),
        ("row", Label::Depth(Array2::from_shape_fn((height, width), |(y, _)| y as f32 + 1.0))),
    ];
    Sample {
        name: "s".to_owned(),
        image: Array3::from_shape_fn((height, width, 3), |(y, x, c)| {
            [4 * x as u8, 4 * y as u8, 255][c]
        }),
        labels: labels.map(|(name, label)| (name.to_owned(), label)).into(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn image_and_labels_stay_aligned(
        size in (8_usize..60, 8_usize..60),
        output in (8_usize..40, 8_usize..40),
        draw in (any::<bool>(), 0.6..1.6_f64, -180.0..180.0_f64, 0.5..1.0_f64, 0.0..1.0_f64, 0.0..1.0_f64),
    ) {
        let (flip, scale, degrees, side, x, y) = draw;
        let draw = Draw { flip, scale, degrees, side, corner: [x, y] };
        let map = Geometry::new([size.0, size.1], [output.0, output.1], &draw);
        let before = coordinates(size.0, size.1);
        let lookup = Lookup::new(&map);
        let image = bilinear::image(before.image.view(), &map, [0; 3], |image| image.to_owned());
        let Label::Classes(columns) = warped(&before.labels["column"], None, (&map, &lookup), IGNORE) else { panic!() };
        let Label::Depth(rows) = warped(&before.labels["row"], None, (&map, &lookup), IGNORE) else { panic!() };
        // The filter that shrinks the source covers two of its pixels and leans inwards at borders.
        let density = map.density();
        let margin = |k: usize| 2.5 * map.source[k] as f64 / density[k] as f64;
        let inside = |place: [f64; 2]| (0..2).all(|k| {
            let (at, side) = (place[1 - k], map.source[k] as f64);
            at > margin(k) && at < side - margin(k)
        });
        for ((y, x), &column) in columns.indexed_iter() {
            let place = map.locate(x as f64 + 0.5, y as f64 + 0.5);
            prop_assert_eq!(column == IGNORE, place.is_none());
            if !place.is_some_and(inside) {
                continue;
            }
            let row = rows[[y, x]] * map.zoom as f32 - 1.0;
            let found = [image[[y, 0, x]] / 4.0, image[[y, 1, x]] / 4.0];
            // Half a pixel of rounding, and steps of a quarter in the colours.
            prop_assert!((found[0] - f32::from(column)).abs() < 0.8, "{found:?} {column}");
            prop_assert!((found[1] - row).abs() < 0.8, "{found:?} {row}");
        }
    }
}

#[test]
fn outside_is_background_in_the_published_form() {
    let tasks = [
        task("parts", TaskKind::HumanParts, Vec::new()),
        task("classes", TaskKind::Semseg, Vec::new()),
    ];
    let published = AugmentConfig { outside: Outside::Background, ..fixed(0.0, 0.5, 0.0) };
    let moved = |parts: Array2<u8>| {
        let mut before = sample(8, 8);
        before.labels.insert("classes".into(), Label::Classes(Array2::from_elem((8, 8), 3)));
        before.labels.insert("parts".into(), Label::Classes(parts));
        let transform = Transform::new([8, 8], [9; 3], Some(published.clone())).unwrap();
        transform.apply(&before, &tasks, key(0))
    };
    let after = moved(Array2::ones((8, 8)));
    let corner = |task: &str| after.labels[task].to_array()[[0, 0, 0]];
    assert_eq!(after.image[[0, 0, 0]], 0);
    assert_eq!(["parts", "classes", "sal", "edge"].map(corner), [0.0; 4]);
    assert!(["normals", "depth"].map(corner).iter().all(|value| value.is_nan()));
    assert_eq!(after.labels["classes"].to_array()[[0, 4, 4]], 3.0);
    // Nobody is left in the image.
    let empty = moved(Array2::zeros((8, 8)));
    assert_eq!(empty.labels["parts"], Label::Classes(Array2::from_elem((8, 8), IGNORE)));
}
