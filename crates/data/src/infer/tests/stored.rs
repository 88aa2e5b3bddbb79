//! Files that hold several arrays or images, and arrays that are none of one kind alone.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use safetensors::tensor::{Dtype, TensorView};

use super::super::infer_manifest;
use super::layouts::{SIZE, Set, copied, said, split};
use crate::npy::npy;
use crate::{Dataset, FolderDataset, Label, Root, TaskKind};

fn peer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn photos(set: &Set, count: usize) {
    (0..count).for_each(|k| set.photo(&format!("images/{k}.png")));
}

fn message(set: &Set) -> String {
    infer_manifest("mine", set.0.path()).unwrap_err().to_string()
}

fn floats(numbers: impl IntoIterator<Item = f32>) -> Vec<u8> {
    numbers.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// The inferred tasks by name, with their kinds, and the first sample.
fn tasks(set: &Set, manifest: &str) -> (Vec<(String, TaskKind)>, crate::Sample) {
    fs::write(set.path("mine.toml"), manifest).unwrap();
    let root = Root::new(set.0.path(), false);
    let dataset = FolderDataset::open(&set.path("mine.toml"), &root, "train").unwrap();
    let kinds = dataset.tasks().iter().map(|task| (task.name.clone(), task.kind)).collect();
    let sample = dataset.get(0).unwrap();
    sample.check(dataset.tasks()).unwrap();
    (kinds, sample)
}

fn named(pairs: &[(&str, TaskKind)]) -> Vec<(String, TaskKind)> {
    pairs.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
}

/// Arrays with a row for each sample (`tests/infer/generate.py`), by each ending.
#[test]
fn arrays_of_rows_are_packed() {
    for ending in ["h5", "hdf5"] {
        let set = Set::new();
        fs::copy(peer("infer/rows.h5"), set.path(&format!("rows.{ending}"))).unwrap();
        let inferred = set.infer();
        let layout = format!("format = \"hdf5\"\nimages = \"rows.{ending}\"\nimage = \"image\"\n");
        assert!(inferred.manifest.contains(&layout), "{inferred:?}");
        let why = format!(
            "rows.{ending}: 4 records, the first with the parts image, depth, label (text), in \
             files of .{ending}, which are read as hdf5"
        );
        assert!(said(&inferred, &why), "{inferred:?}");
        let (kinds, sample) = tasks(&set, &inferred.manifest);
        let expected = [("depth", TaskKind::Depth), ("label", TaskKind::Classification)];
        assert_eq!(kinds, named(&expected));
        let Label::Depth(depth) = &sample.labels["depth"] else { panic!("another label") };
        assert_eq!((depth.dim(), depth[[4, 0]] - depth[[0, 0]]), ((10, 12), 1.0));
    }
}

/// As NYUD-v2's own file, whose axes stand the other way round; files of v5 beside it are none.
#[test]
fn rows_of_matlab_are_packed() {
    let set = Set::new();
    fs::copy(peer("hdf5/nyu.mat"), set.path("nyu.mat")).unwrap();
    fs::write(set.path("a-splits.mat"), b"MATLAB 5.0 MAT-file".repeat(20)).unwrap();
    let inferred = set.infer();
    let layout = "format = \"hdf5\"\nimages = \"nyu.mat\"\nimage = \"images\"\n";
    assert!(inferred.manifest.contains(layout), "{inferred:?}");
    assert!(said(&inferred, "nyu.mat: 3 records, the first with the parts depths, images, labels"));
    assert_eq!(set.opened(&inferred), (TaskKind::Depth, vec![split("train", 2), split("val", 1)]));
    let (kinds, _) = tasks(&set, &inferred.manifest);
    assert_eq!(kinds, named(&[("depths", TaskKind::Depth), ("labels", TaskKind::Semseg)]));
}

/// As Hypersim's: a file beside each photograph, whose arrays have no row for each sample.
#[test]
fn arrays_of_one_image_are_labels_each() {
    let set = Set::new();
    photos(&set, 6);
    for k in 0..6 {
        fs::copy(peer("infer/frame.h5"), set.path(&format!("frames/{k}.hdf5"))).unwrap();
    }
    let inferred = set.infer();
    let (kinds, sample) = tasks(&set, &inferred.manifest);
    let expected = [
        ("depth", TaskKind::Depth),
        ("normal", TaskKind::Normals),
        ("segmentation", TaskKind::Semseg),
    ];
    assert_eq!(kinds, named(&expected), "{inferred:?}");
    let label = "label = \"frames/{id}.hdf5\"\nformat = \"hdf5:segmentation\"";
    assert!(inferred.manifest.contains(label), "{inferred:?}");
    assert!(inferred.manifest.contains("ignore = [-1]"), "{inferred:?}");
    assert!(said(&inferred, "files of one image each, read as hdf5:depth: depth by its numbers"));
    assert!(said(&inferred, "array camera: shape [3, 3] is none of a map"), "{inferred:?}");
    assert!(said(&inferred, "array pose: shape [7] is none of a map"), "{inferred:?}");
    let Label::Classes(classes) = &sample.labels["segmentation"] else { panic!("another label") };
    assert_eq!([0, 6, 12, 18].map(|y| classes[[y, 3]]), [255, 0, 1, 2]);
    let Label::Normals(normals) = &sample.labels["normal"] else { panic!("another label") };
    assert!((normals[[5, 20, 1]] - 0.6).abs() < 1e-6);

    let set = Set::new();
    photos(&set, 6);
    for k in 0..6 {
        fs::copy(peer("infer/frame.mat"), set.path(&format!("depth/{k}.mat"))).unwrap();
    }
    let inferred = set.infer();
    let label = "label = \"depth/{id}.mat\"\nformat = \"mat:depth\"\nscale = 1.0";
    assert!(inferred.manifest.contains(label), "{inferred:?}");
    let (kinds, sample) = tasks(&set, &inferred.manifest);
    assert_eq!(kinds, named(&[("depth", TaskKind::Depth)]));
    let Label::Depth(depth) = &sample.labels["depth"] else { panic!("another label") };
    assert_eq!((depth.dim(), depth[[8, 31]]), ((24, 32), 2.25));
}

/// As `predict --raw` writes them, classes, metres, probabilities and normals; and scores of other
/// programs.
#[test]
fn predictions_beside_images_are_labels() {
    let set = Set::new();
    photos(&set, 6);
    let (height, width) = (12, 16);
    let map = |channels: usize, value: fn(usize) -> f32| {
        floats((0..channels * height * width).map(value))
    };
    let tensors = [
        ("depth", 1, map(1, |k| 1.0 + k as f32)),
        ("edge", 1, map(1, |k| (k % 5) as f32 / 5.0)),
        ("human_parts", 1, map(1, |k| (k % 7) as f32)),
        ("normals", 3, map(3, |k| 0.25 + (k % 3) as f32)),
        ("sal", 1, map(1, |k| 7.5 - k as f32)),
        ("semseg", 3, map(3, |k| ((k * 13) % 29) as f32)),
    ];
    let views = tensors.iter().map(|(name, channels, data)| {
        (*name, TensorView::new(Dtype::F32, vec![*channels, height, width], data).unwrap())
    });
    let bytes = floats([0.5, 0.25]);
    let tags = ("tags", TensorView::new(Dtype::F32, vec![2], &bytes).unwrap());
    let file = safetensors::serialize(views.chain([tags]), None).unwrap();
    for k in 0..6 {
        fs::write(set.path(&format!("teacher/{k}.safetensors")), &file).unwrap();
    }
    let inferred = set.infer();
    let (kinds, sample) = tasks(&set, &inferred.manifest);
    let expected = [
        ("depth", TaskKind::Depth),
        ("edge", TaskKind::Edge),
        ("human_parts", TaskKind::HumanParts),
        ("normals", TaskKind::Normals),
        ("sal", TaskKind::Sal),
        ("semseg", TaskKind::Semseg),
    ];
    assert_eq!(kinds, named(&expected), "{inferred:?}");
    let text = &inferred.manifest;
    assert_eq!(text.matches("resize = true").count(), 6, "{text}");
    assert_eq!(text.matches("threshold = 0.0").count(), 1, "{text}");
    assert!(text.contains("format = \"safetensors:human_parts\""), "{text}");
    assert_eq!(text.matches("\"class 6\"").count(), 1, "{text}");
    assert!(text.contains("format = \"safetensors_argmax:semseg\""), "{text}");
    let why = "teacher/{id}.safetensors: tensor sal of shape [1, 12, 16], as `predict --raw` \
               writes them: sal by its name and numbers";
    assert!(said(&inferred, why), "{inferred:?}");
    assert!(said(&inferred, "tensor tags: expected [channels, height, width]"), "{inferred:?}");
    let Label::Classes(parts) = &sample.labels["human_parts"] else { panic!("another label") };
    // Each map has half the size of the image: pixel (0, 12) is number 6.
    assert_eq!(parts[[0, 12]], 6);
    let Label::Binary(sal) = &sample.labels["sal"] else { panic!("another label") };
    // Above 0 up to the eighth number of the first row; each covers two pixels of the image.
    assert_eq!(sal.row(0).iter().map(|&v| usize::from(v)).sum::<usize>(), 16);
}

/// A shard of these members.
fn shard(set: &Set, members: &[(String, Vec<u8>)]) {
    let file = fs::File::create(set.path("train-000000.tar")).unwrap();
    let mut builder = tar::Builder::new(file);
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    builder.finish().unwrap();
}

#[test]
fn floats_of_renderers_in_shards_are_labels() {
    let set = Set::new();
    let picture = RgbImage::from_fn(4, 3, |x, y| Rgb([60 * x as u8, 80 * y as u8, 9]));
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let vectors =
        floats((0..12).flat_map(|k| if k < 6 { [0.6, 0.0, 0.8] } else { [0.0, -0.6, 0.8] }));
    let pfm = [b"PF\n4 3\n-1.0\n".to_vec(), vectors].concat();
    let exr = fs::read(peer("exr/depth.exr")).unwrap();
    let sample = |k: usize| {
        let name = |part: &str| format!("{k:04}.{part}");
        [
            (name("image.png"), png.get_ref().clone()),
            (name("depth.exr"), exr.clone()),
            (name("normals.pfm"), pfm.clone()),
            (name("car.txt"), b"BMW and Pf".to_vec()),
        ]
    };
    let members: Vec<_> = (0..3).flat_map(sample).collect();
    shard(&set, &members);
    let inferred = set.infer();
    let (kinds, sample) = tasks(&set, &inferred.manifest);
    let expected = [("depth_exr", TaskKind::Depth), ("normals_pfm", TaskKind::Normals)];
    assert_eq!(kinds, named(&expected), "{inferred:?}");
    let Label::Depth(depth) = &sample.labels["depth_exr"] else { panic!("another label") };
    assert_eq!(depth[[2, 3]], 5.5);
    // Rows of such maps stand from the lowest up.
    let Label::Normals(normals) = &sample.labels["normals_pfm"] else { panic!("another label") };
    assert!((normals[[0, 0, 1]] + 0.6).abs() < 1e-6 && (normals[[2, 0, 0]] - 0.6).abs() < 1e-6);
}

/// A table of texts, or one that only says where its images are.
#[test]
fn records_without_images_are_named_with_their_parts() {
    let set = Set::new();
    copied(&set, "arrow/nulls", "arrow");
    let message = message(&set);
    let folder = set.0.path().display().to_string();
    let expected = "parts: expected one of JPEG or PNG photographs, or WebP, TIFF, BMP, found the \
                    parts image (text), ";
    assert!(message.starts_with(&format!("{folder}: {expected}")), "{message}");
    assert!(message.contains("deep.inner.note (text)"), "{message}");
    assert!(message.ends_with(" in rows.arrow, none of them photographs"), "{message}");
    assert_eq!(message.matches(".tmp").count(), 1, "{message}");
}

/// Maps of classes as ISPRS has them, and normals that bytes stand for.
#[test]
fn colours_in_tiff_are_no_normals() {
    let set = Set::new();
    photos(&set, 6);
    for k in 0..6 {
        let colour = |x: u32, _| if x < 16 { Rgb([255, 255, 0]) } else { Rgb([0, 0, 255]) };
        let path = set.path(&format!("labels/{k}.tif"));
        RgbImage::from_fn(SIZE.0, SIZE.1, colour).save(path).unwrap();
        let path = set.path(&format!("normals/{k}.tif"));
        RgbImage::from_pixel(SIZE.0, SIZE.1, Rgb([128, 128, 255])).save(path).unwrap();
    }
    let message = message(&set);
    assert!(message.contains("labels/{id}.tif: colours in TIFF: save them as PNG"), "{message}");
    assert!(message.contains("normals/{id}.tif: normals in bytes"), "{message}");
}

#[test]
fn vectors_of_unit_length_alone_are_normals() {
    let set = Set::new();
    photos(&set, 6);
    let pixels = SIZE.0 * SIZE.1;
    let write = |name: &str, vector: fn(u32) -> [f32; 3]| {
        let shape = [SIZE.1 as usize, SIZE.0 as usize, 3];
        for k in 0..6 {
            let file = npy("<f4", &shape, floats((0..pixels).flat_map(vector)));
            fs::write(set.path(&format!("{name}/{k}.npy")), file).unwrap();
        }
    };
    write("normals", |k| if k % 16 == 0 { [f32::NAN; 3] } else { [0.0, -0.28, 0.96] });
    write("points", |k| [k as f32 / 7.0, -1.5, 3.25]);
    let inferred = set.infer();
    let (kinds, _) = tasks(&set, &inferred.manifest);
    assert_eq!(kinds, named(&[("normals", TaskKind::Normals)]));
    let note = "points/{id}.npy: several numbers for each pixel, not of unit length";
    assert!(said(&inferred, note), "{inferred:?}");
}

/// A table of `datasets` with lists and arrays (`tests/lists/generate.py`): rows of ragged lists
/// cannot be read, the rest can.
#[test]
fn a_column_that_cannot_be_read_is_left_out() {
    for ending in ["parquet", "arrow"] {
        let set = Set::new();
        let name = format!("train-00000.{ending}");
        fs::copy(peer(&format!("lists/lists.{ending}")), set.path(&name)).unwrap();
        let inferred = set.infer();
        let text = &inferred.manifest;
        assert!(text.contains("image = \"image\""), "{inferred:?}");
        assert!(text.contains("label = \"depth\"\nformat = \"npy\""), "{inferred:?}");
        assert!(!text.contains("ragged"), "{inferred:?}");
        // Seconds since 1970 are no numbers of classes.
        assert!(!text.contains("name = \"taken\""), "{inferred:?}");
        assert!(said(&inferred, "part ragged: left out: "), "{inferred:?}");
    }
}

/// Columns of `datasets` (`tests/infer/objects.py`): classes, a list of classes, boxes, words.
#[test]
fn columns_of_tables_are_what_they_hold() {
    let set = Set::new();
    fs::copy(peer("infer/objects.parquet"), set.path("train/objects.parquet")).unwrap();
    let inferred = set.infer();
    let (kinds, sample) = tasks(&set, &inferred.manifest);
    let expected = [("label", TaskKind::Classification), ("tags", TaskKind::Tags)];
    assert_eq!(kinds, named(&expected), "{}", inferred.manifest);
    assert_eq!(sample.labels["tags"], Label::Tags(vec![false; 3]));
    let names = "\"red\", \"green\", \"blue\"";
    assert!(inferred.manifest.contains(names), "{}", inferred.manifest);
    let boxes =
        "objects.bbox/{id}.npy: arrays of 1 x 4 numbers beside images of 24 x 32, too few for maps";
    assert!(said(&inferred, boxes), "{inferred:?}");
    assert!(said(&inferred, "texts that no task was made of: caption;"), "{inferred:?}");
    // A class of -1 is no label.
    let root = Root::new(set.0.path(), false);
    let dataset = FolderDataset::open(&set.path("mine.toml"), &root, "train").unwrap();
    let labels = |index: usize| dataset.get(index).unwrap().labels;
    assert_eq!(labels(1).get("label"), Some(&Label::Category(1)));
    assert_eq!(labels(1)["tags"], Label::Tags(vec![true, false, true]));
    assert_eq!(labels(2).get("label"), None);
}

/// Whole numbers of many values are millimetres; one map may have its channel in front.
#[test]
fn maps_of_whole_numbers_and_with_a_channel_in_front() {
    let set = Set::new();
    photos(&set, 3);
    let (width, height) = SIZE;
    for k in 0..3 {
        let millimetres = (0..width * height).flat_map(|v| (v as u16 + 500).to_le_bytes());
        let depth = npy("<u2", &[height as usize, width as usize], millimetres);
        fs::write(set.path(&format!("depth/{k}.npy")), depth).unwrap();
        let classes = (0..width * height).map(|v| (v / 300) as u8);
        let classes = npy("|u1", &[1, height as usize, width as usize], classes);
        fs::write(set.path(&format!("seg/{k}.npy")), classes).unwrap();
    }
    let inferred = set.infer();
    let (kinds, sample) = tasks(&set, &inferred.manifest);
    let expected = [("depth", TaskKind::Depth), ("seg", TaskKind::Semseg)];
    assert_eq!(kinds, named(&expected), "{}", inferred.manifest);
    let Label::Depth(depth) = &sample.labels["depth"] else { panic!("{sample:?}") };
    assert_eq!((depth.dim(), depth[[0, 3]]), ((24, 32), 0.503));
    let Label::Classes(classes) = &sample.labels["seg"] else { panic!("{sample:?}") };
    assert_eq!((classes.dim(), classes[[23, 31]]), ((24, 32), 2));
}

/// The one map of each file of MATLAB's version 5 (`tests/infer/generate.py`).
#[test]
fn variables_of_matlab_files_become_tasks() {
    let set = Set::new();
    photos(&set, 3);
    for k in 0..3 {
        fs::copy(peer("infer/map.mat"), set.path(&format!("depth/{k}.mat"))).unwrap();
    }
    let inferred = set.infer();
    let (kinds, sample) = tasks(&set, &inferred.manifest);
    assert_eq!(kinds, named(&[("depth", TaskKind::Depth)]), "{}", inferred.manifest);
    assert!(inferred.manifest.contains("format = \"mat:metres\""), "{}", inferred.manifest);
    let Label::Depth(depth) = &sample.labels["depth"] else { panic!("{sample:?}") };
    assert_eq!((depth.dim(), depth[[2, 1]]), ((24, 32), 1.5));
}

#[test]
fn files_that_are_passed_over_say_what_to_do() {
    let set = Set::new();
    photos(&set, 3);
    for k in 0..3 {
        fs::write(set.path(&format!("seg/{k}.bmp")), "BM").unwrap();
    }
    fs::write(set.path("train.tar.gz"), "").unwrap();
    fs::write(set.path("rows.parquet"), "").unwrap();
    fs::write(set.path("coco.json"), "{\"images\": [], \"annotations\": [7]}").unwrap();
    let message = message(&set);
    for reason in [
        "seg/{id}.bmp: labels are not read from .bmp: save them as PNG",
        "train.tar.gz: packed: unpack it first",
        "rows.parquet: not read beside photographs, which may be unpacked from it",
        "coco.json: not a readable COCO JSON: invalid type: integer `7`",
    ] {
        assert!(message.contains(reason), "{message}");
    }
}
