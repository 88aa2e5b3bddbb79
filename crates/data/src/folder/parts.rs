//! Body parts from the annotations of PASCAL-Part: objects, each with named masks.
//!
//! Chen, Mottaghi, Liu, Fidler, Urtasun, Yuille: "Detect What You Can", CVPR 2014. A file's variable
//! `anno` is a structure with `imname` and `objects`, an array of structures with `class`,
//! `class_ind`, `mask` and `parts`; the last is empty or an array of structures with `part_name`
//! and `mask`.

use std::collections::BTreeMap;

use ndarray::{Array2, Ix2};

use crate::check::Fault;
use crate::decode::Value;

/// A part's name and its mask.
pub(crate) type Part = (String, Array2<f64>);

type Read<T> = Result<T, String>;

/// Parts of all objects of class `class`, in the order of the file; none if no such object covers
/// a pixel.
pub(crate) fn parts(anno: &Value, class: i64) -> Read<Vec<Part>> {
    let objects = field(fields(anno, "anno")?, "objects", 0)?;
    if is_empty(objects) {
        return Ok(Vec::new());
    }
    let objects = fields(objects, "anno.objects")?;
    let count = objects.values().map(Vec::len).max().unwrap_or(0);
    let (mut found, mut seen) = (Vec::new(), false);
    for index in 0..count {
        if number(field(objects, "class_ind", index)?)? != class as f64 {
            continue;
        }
        seen |= map(field(objects, "mask", index)?)?.iter().any(|&value| value > 0.0);
        found.extend(parts_of(field(objects, "parts", index)?)?);
    }
    Ok(if seen { found } else { Vec::new() })
}

/// Class per pixel, later parts over earlier ones; none where there is no part.
///
/// # Errors
/// A part that `classes` does not name, and masks of different sizes.
pub(crate) fn painted(
    parts: &[Part],
    classes: &BTreeMap<String, u8>,
) -> Result<Option<Array2<u8>>, Fault> {
    let Some((_, first)) = parts.first() else { return Ok(None) };
    let mut painted = Array2::zeros(first.dim());
    for (name, mask) in parts {
        let class = classes.get(name).ok_or_else(|| {
            let names: Vec<&str> = classes.keys().map(String::as_str).collect();
            Fault::new(format!("one of the parts [{}]", names.join(", ")), format!("`{name}`"))
        })?;
        if mask.dim() != first.dim() {
            let expected = format!("masks of {:?} like the first", first.dim());
            return Err(Fault::new(expected, format!("{:?} of `{name}`", mask.dim())));
        }
        painted.zip_mut_with(mask, |pixel, &inside| {
            if inside != 0.0 {
                *pixel = *class;
            }
        });
    }
    Ok(Some(painted))
}

fn parts_of(parts: &Value) -> Read<Vec<Part>> {
    if is_empty(parts) {
        return Ok(Vec::new());
    }
    let parts = fields(parts, "anno.objects.parts")?;
    let count = parts.values().map(Vec::len).max().unwrap_or(0);
    let part = |index: usize| match field(parts, "part_name", index)? {
        Value::Text(name) => Ok((name.clone(), map(field(parts, "mask", index)?)?)),
        _ => Err("part_name is not text".to_owned()),
    };
    (0..count).map(part).collect()
}

/// MATLAB stores a structure array that never got an element as an empty array of numbers.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Struct(fields) => fields.values().all(Vec::is_empty),
        Value::Cell(parts) => parts.is_empty(),
        other => other.numbers().is_ok_and(|array| array.is_empty()),
    }
}

fn fields<'a>(value: &'a Value, name: &str) -> Read<&'a BTreeMap<String, Vec<Value>>> {
    match value {
        Value::Struct(fields) => Ok(fields),
        _ => Err(format!("{name} is not a structure")),
    }
}

fn field<'a>(
    fields: &'a BTreeMap<String, Vec<Value>>,
    name: &str,
    index: usize,
) -> Read<&'a Value> {
    let found = fields.get(name).and_then(|values| values.get(index));
    found.ok_or_else(|| {
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        format!("no field {name}, found [{}]", names.join(", "))
    })
}

fn number(value: &Value) -> Read<f64> {
    let array = value.numbers()?;
    array.first().copied().ok_or_else(|| "an empty class_ind".to_owned())
}

fn map(value: &Value) -> Read<Array2<f64>> {
    let array = value.numbers()?;
    let shape = array.shape().to_vec();
    array.into_dimensionality::<Ix2>().map_err(|_| format!("a mask of shape {shape:?}"))
}
