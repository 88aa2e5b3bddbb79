//! Answers as people and programs read them: JSON, pictures, NumPy arrays.

use std::io::{Cursor, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, RgbImage};
use ndarray::{Array3, ArrayView3};
use polyptych_data::{TaskKind, TaskSpec};
use polyptych_engine::{panel, picture};
use serde_json::{Map, Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::model::{Served, kind};
use crate::refusal::Refusal;

/// Classes of whole images that an answer names.
const TOP: usize = 5;
/// Bytes of an archive's entry beside its values, at most: headers, the name twice.
const ENTRY: usize = 1024;
/// Colours of a bar from the least to the largest value.
const BAR: usize = 256;

/// What an answer in JSON holds beside numbers about each map.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extras {
    /// Each map as a picture, and the bar of its colours.
    pub(crate) pictures: bool,
    /// Each map's values.
    pub(crate) values: bool,
}

/// One task's answer in JSON.
///
/// # Errors
/// A picture that cannot be encoded.
pub(crate) fn task(served: &Served, map: &Array3<f32>, extras: Extras) -> Result<Value, Refusal> {
    let spec = &served.spec;
    let mut object = Map::new();
    object.insert("name".into(), json!(spec.name));
    object.insert("kind".into(), json!(kind(spec)));
    if !spec.is_dense() {
        object.insert("classes".into(), whole_image(spec, map));
        return Ok(object.into());
    }
    let (channels, height, width) = map.dim();
    object.insert("shape".into(), json!([channels, height, width]));
    match served.is_index() {
        true => object.extend([("classes".into(), classes(spec, map))]),
        false => object.extend(numbers(served, map)),
    }
    if extras.pictures {
        object.insert("picture".into(), data_url(&picture(spec, map.view()))?);
        if let Some(bar) = bar(spec, map) {
            object.insert("bar".into(), data_url(&bar)?);
        }
    }
    if extras.values {
        object.insert("values".into(), values(served, map));
    }
    Ok(object.into())
}

/// The classes of a whole image with their probabilities, the likeliest first: the first five, and
/// of tags all that are likelier than not.
fn whole_image(spec: &TaskSpec, logits: &Array3<f32>) -> Value {
    let logits: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    let probability = |logit: f64| match spec.kind {
        TaskKind::Tags => 1.0 / (1.0 + (-logit).exp()),
        _ => (logit - largest).exp() / sum,
    };
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let seen = |class: usize| spec.kind == TaskKind::Tags && logits[class] > 0.0;
    let named = order.into_iter().enumerate().filter(|&(rank, class)| rank < TOP || seen(class));
    let one = |(_, class): (usize, usize)| {
        let name = spec.classes.get(class).map_or("?", String::as_str);
        json!({"index": class, "name": name, "probability": probability(logits[class])})
    };
    named.map(one).collect()
}

/// The classes that occur, with their colours and their share of all pixels, the largest first.
fn classes(spec: &TaskSpec, map: &Array3<f32>) -> Value {
    let mut counts = vec![0usize; spec.classes.len()];
    for &class in map {
        if let Some(count) = counts.get_mut(class as usize) {
            *count += 1;
        }
    }
    let mut occur: Vec<usize> = (0..counts.len()).filter(|&class| counts[class] > 0).collect();
    occur.sort_by_key(|&class| std::cmp::Reverse(counts[class]));
    let one = |class: usize| {
        let share = counts[class] as f64 / map.len() as f64;
        let [r, g, b] = colour(spec, class);
        let color = format!("#{r:02x}{g:02x}{b:02x}");
        json!({"index": class, "name": spec.classes[class], "color": color, "share": share})
    };
    occur.into_iter().map(one).collect()
}

/// The colour that pictures of the task give a class.
fn colour(spec: &TaskSpec, class: usize) -> [u8; 3] {
    let one = Array3::from_elem((1, 1, 1), class as f32);
    picture(spec, one.view()).get_pixel(0, 0).0
}

/// Least, largest and mean value, and the units where there are some.
fn numbers(served: &Served, map: &Array3<f32>) -> Vec<(String, Value)> {
    let finite = || map.iter().copied().filter(|value| value.is_finite()).map(f64::from);
    let count = finite().count().max(1) as f64;
    let number = |value: f64| if value.is_finite() { json!(value) } else { Value::Null };
    let mut all = vec![
        ("min".to_owned(), number(finite().fold(f64::INFINITY, f64::min))),
        ("max".to_owned(), number(finite().fold(f64::NEG_INFINITY, f64::max))),
        ("mean".to_owned(), number(finite().sum::<f64>() / count)),
    ];
    for key in ["values", "units"] {
        let words = served.activation.get(key).map(|words| (key_of(key).to_owned(), words.clone()));
        all.extend(words);
    }
    all
}

/// `values` are the numbers themselves here.
fn key_of(key: &str) -> &str {
    if key == "values" { "meaning" } else { key }
}

/// Values from the least to the largest, as a picture of the task paints them.
fn bar(spec: &TaskSpec, map: &Array3<f32>) -> Option<RgbImage> {
    let (low, high) = match spec.kind {
        TaskKind::Depth => {
            let finite = || map.iter().copied().filter(|value| value.is_finite());
            (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max))
        }
        TaskKind::Sal | TaskKind::Edge => (0.0, 1.0),
        _ => return None,
    };
    let step = |x: usize| low + (high - low) * x as f32 / (BAR - 1) as f32;
    let ramp = Array3::from_shape_fn((1, 1, BAR), |(_, _, x)| step(x));
    Some(picture(spec, ramp.view()))
}

/// The values as base64 of a short type: `value = stored * scale`.
fn values(served: &Served, map: &Array3<f32>) -> Value {
    let few = served.spec.classes.len() <= 256;
    let (dtype, scale, bytes): (_, f64, Vec<u8>) = match served.spec.kind {
        _ if served.is_index() && few => ("uint8", 1.0, map.iter().map(|&v| v as u8).collect()),
        _ if served.is_index() => {
            ("int32", 1.0, map.iter().flat_map(|&v| (v as i32).to_le_bytes()).collect())
        }
        TaskKind::Sal | TaskKind::Edge => {
            ("uint8", 1.0 / 255.0, map.iter().map(|&v| (v * 255.0).round() as u8).collect())
        }
        TaskKind::Normals => {
            let one = |&v: &f32| (v * 127.0).round() as i8;
            ("int8", 1.0 / 127.0, map.iter().map(|v| one(v).to_le_bytes()[0]).collect())
        }
        _ => ("float32", 1.0, map.iter().flat_map(|v| v.to_le_bytes()).collect()),
    };
    let (channels, height, width) = map.dim();
    json!({
        "dtype": dtype, "scale": scale, "shape": [channels, height, width],
        "data": STANDARD.encode(bytes),
    })
}

/// The photograph and every dense task as one PNG picture.
///
/// # Errors
/// A picture that cannot be encoded.
pub(crate) fn png<'a>(
    photograph: &Array3<u8>,
    maps: impl Iterator<Item = (&'a TaskSpec, ArrayView3<'a, f32>)>,
) -> Result<Vec<u8>, Refusal> {
    let dense = maps.filter(|(spec, _)| spec.is_dense());
    let pictures: Vec<RgbImage> = dense.map(|(spec, map)| picture(spec, map)).collect();
    encoded(&panel(photograph, &pictures))
}

fn encoded(image: &RgbImage) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Cursor::new(Vec::new());
    let written = image.write_to(&mut bytes, ImageFormat::Png);
    written.map_err(|error| Refusal::Model(format!("PNG: {error}")))?;
    Ok(bytes.into_inner())
}

fn data_url(image: &RgbImage) -> Result<Value, Refusal> {
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(encoded(image)?)).into())
}

/// A map as NumPy's `.npy` file: int32 for indices of classes, else float32.
///
/// Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, version 1.0.
pub(crate) fn npy(served: &Served, map: &Array3<f32>) -> Vec<u8> {
    let (mut bytes, words) = (npy_header(served, map.dim()), words(served, map));
    bytes.extend_from_slice(bytemuck::cast_slice(&words));
    bytes
}

fn npy_header(served: &Served, (a, b, c): (usize, usize, usize)) -> Vec<u8> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let descr = if served.is_index() { "<i4" } else { "<f4" };
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({a}, {b}, {c}), }}");
    // Data begin at a multiple of 64.
    let length = (MAGIC.len() + 2 + header.len() + 1).next_multiple_of(64) - MAGIC.len() - 2;
    header += &" ".repeat(length - header.len() - 1);
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(header.into_bytes());
    bytes
}

/// Maps as NumPy's `.npz` file, one array per task.
///
/// # Errors
/// An archive that cannot be written.
pub(crate) fn npz<'a>(
    maps: impl Iterator<Item = (&'a Served, &'a Array3<f32>)>,
) -> Result<Vec<u8>, Refusal> {
    let failed = |error: String| Refusal::Model(format!("npz: {error}"));
    let maps: Vec<_> = maps.collect();
    let room = maps.iter().map(|(_, map)| 4 * map.len() + ENTRY).sum();
    let mut archive = ZipWriter::new(Cursor::new(Vec::with_capacity(room)));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (served, map) in maps {
        let (header, words) = (npy_header(served, map.dim()), words(served, map));
        let name = format!("{}.npy", served.spec.name);
        archive.start_file(name, options).map_err(|error| failed(error.to_string()))?;
        let written = archive.write_all(&header);
        let written = written.and_then(|()| archive.write_all(bytemuck::cast_slice(&words)));
        written.map_err(|error| failed(error.to_string()))?;
    }
    let written = archive.finish().map_err(|error| failed(error.to_string()))?;
    Ok(written.into_inner())
}

/// Appends a map as it is stored, little-endian: int32 for indices of classes, else float32.
pub(crate) fn store(served: &Served, map: &Array3<f32>, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(bytemuck::cast_slice(&words(served, map)));
}

/// The same as words of four bytes.
fn words(served: &Served, map: &Array3<f32>) -> Vec<u32> {
    match served.is_index() {
        true => map.iter().map(|&value| (value as i32 as u32).to_le()).collect(),
        false => map.iter().map(|value| value.to_bits().to_le()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::model::tests::description;

    fn map(values: &[f32]) -> Array3<f32> {
        Array3::from_shape_vec((1, 1, values.len()), values.to_vec()).unwrap()
    }

    #[test]
    fn classes_are_named_with_their_share_and_colour() {
        let model = description();
        let value = task(&model.tasks[0], &map(&[1.0, 1.0, 0.0, 1.0]), Extras::default()).unwrap();
        assert_eq!(value["kind"], "semseg");
        assert_eq!(value["shape"], json!([1, 1, 4]));
        assert_eq!(value["classes"][0]["name"], "ground");
        assert_eq!(value["classes"][0]["share"], 0.75);
        let colours = [0, 1].map(|place| value["classes"][place]["color"].as_str().unwrap());
        assert!(colours[0] != colours[1] && colours.iter().all(|colour| colour.len() == 7));
        assert!(value.get("picture").is_none() && value.get("values").is_none());
    }

    #[test]
    fn numbers_of_a_map_leave_out_what_is_none() {
        let model = description();
        let extras = Extras { pictures: true, values: true };
        let value = task(&model.tasks[1], &map(&[1.0, f32::NAN, 3.0]), extras).unwrap();
        assert_eq!(
            (&value["min"], &value["max"], &value["mean"]),
            (&json!(1.0), &json!(3.0), &json!(2.0))
        );
        assert!(value["picture"].as_str().unwrap().starts_with("data:image/png;base64,"));
        assert!(value["bar"].is_string());
        let stored = STANDARD.decode(value["values"]["data"].as_str().unwrap()).unwrap();
        assert_eq!(stored[..4], 1.0f32.to_le_bytes());
        let nothing = task(&model.tasks[1], &map(&[f32::NAN]), Extras::default()).unwrap();
        assert_eq!(nothing["min"], Value::Null);
    }

    #[test]
    fn whole_images_are_answered_in_probabilities() {
        let model = description();
        let logits = Array3::from_shape_vec((2, 1, 1), vec![0.0, 2f32.ln()]).unwrap();
        let value = task(&model.tasks[2], &logits, Extras::default()).unwrap();
        assert_eq!(value["classes"][0]["name"], "room");
        let probability = value["classes"][0]["probability"].as_f64().unwrap();
        assert!((probability - 2.0 / 3.0).abs() < 1e-6, "{probability}");
    }

    #[test]
    fn numpy_finds_its_header() {
        let model = description();
        let bytes = npy(&model.tasks[0], &map(&[1.0, 0.0]));
        let length = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
        assert_eq!((10 + length) % 64, 0);
        let header = String::from_utf8(bytes[10..10 + length].to_vec()).unwrap();
        assert!(
            header.starts_with("{'descr': '<i4', 'fortran_order': False, 'shape': (1, 1, 2), }")
        );
        assert!(header.ends_with('\n'));
        assert_eq!(bytes[10 + length..], [1, 0, 0, 0, 0, 0, 0, 0]);
        let maps = [map(&[1.0]), map(&[2.5])];
        let packed = npz(model.tasks.iter().zip(&maps)).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(packed)).unwrap();
        let mut inside = Vec::new();
        archive.by_name("depth.npy").unwrap().read_to_end(&mut inside).unwrap();
        assert!(inside.ends_with(&2.5f32.to_le_bytes()));
    }

    #[test]
    fn panels_hold_dense_tasks_alone() {
        let model = description();
        let photograph = Array3::from_elem((1, 3, 3), 9u8);
        let maps = [map(&[0.0, 1.0, 0.0]), map(&[1.0, 2.0, 3.0]), Array3::zeros((2, 1, 1))];
        let specs = model.tasks.iter().map(|task| &task.spec);
        let bytes = png(&photograph, specs.zip(maps.iter().map(|map| map.view()))).unwrap();
        let panel = image::load_from_memory(&bytes).unwrap();
        assert!(panel.width() >= 9 && panel.height() >= 1);
    }
}
