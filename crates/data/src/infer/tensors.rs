//! What tensors of safetensors are labels of: predictions, as `polyptych predict --raw` writes them.

use std::path::{Path, PathBuf};

use super::found::Found;
use super::numbered::{is_called_edge, numbers};
use super::series::Series;
use super::stored;

/// Files whose numbers are looked at.
const SAMPLES: usize = 8;

/// A label for each map that the first file has.
pub(super) fn of_tensors(folder: &Path, series: &Series) -> Result<Vec<Found>, String> {
    let files: Vec<PathBuf> = series.samples(SAMPLES).map(|path| folder.join(path)).collect();
    let first = files.first().ok_or("no file")?;
    let tensors = stored::tensors(first).map_err(|error| error.to_string())?;
    let (mut all, mut reasons) = (Vec::new(), Vec::new());
    for (name, shape) in tensors {
        match of_tensor(&files, &name, &shape) {
            Some(found) => {
                let note = format!(
                    "tensor {name} of shape {shape:?}, as `predict --raw` writes them: {} by its {}",
                    found.kind,
                    if shape[0] == 1 { "name and numbers" } else { "name and channels" }
                );
                all.push(Found { array: Some(name), ..found.noting(note) });
            }
            None => reasons.push(format!(
                "tensor {name}: expected [channels, height, width] of 1 to 255 channels, found \
                 {shape:?}"
            )),
        }
    }
    match all.first_mut() {
        Some(first) => first.notes.extend(reasons),
        None => return Err(reasons.join("; ")),
    }
    Ok(all)
}

fn of_tensor(files: &[PathBuf], name: &str, shape: &[usize]) -> Option<Found> {
    let lower = name.to_lowercase();
    match shape {
        [1, _, _] => Some(one_map(files, name, &lower)),
        [3, _, _] if lower.contains("normal") => {
            Some(Found::new("normals", format!("safetensors:{name}")))
        }
        [classes @ 2..=255, _, _] => {
            let format = format!("safetensors_argmax:{name}");
            Some(Found { classes: numbers(0..*classes), ..Found::new(classes_of(&lower), format) })
        }
        _ => None,
    }
}

fn classes_of(lower: &str) -> &'static str {
    if lower.contains("part") { "human_parts" } else { "semseg" }
}

/// Whole numbers are classes, metres are above 0, and what is present or not is a probability, or a
/// number before the sigmoid, which is 0 at a half.
fn one_map(files: &[PathBuf], name: &str, lower: &str) -> Found {
    let format = format!("safetensors:{name}");
    let maps = files.iter().filter_map(|file| stored::array(file, &format));
    let numbers_of: Vec<f64> = maps.flatten().collect();
    let all = |test: fn(f64) -> bool| numbers_of.iter().all(|&value| test(value));
    let edge = is_called_edge(lower);
    let mask = edge || lower.contains("sal") || lower.contains("mask");
    let shares = all(|value| (0.0..=1.0).contains(&value));
    let whole = all(|value| value.fract() == 0.0 && (0.0..255.0).contains(&value));
    let named = ["part", "seg", "class"].iter().any(|word| lower.contains(word));
    if named || (whole && !shares && !mask && !lower.contains("depth")) {
        let most = numbers_of.iter().fold(0.0, |most: f64, &value| most.max(value)).min(254.0);
        let classes = numbers(0..most as usize + 1);
        return Found { classes, ..Found::new(classes_of(lower), format) };
    }
    if lower.contains("depth") || (all(|value| value > 0.0) && !shares && !mask) {
        return Found::new("depth", format);
    }
    let found = Found::new(if edge { "edge" } else { "sal" }, format);
    if shares { found } else { found.with("threshold = 0.0") }
}
