//! What a server must say: the maps that `polyptych predict --raw` wrote.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use safetensors::SafeTensors;

use super::flags::Load;
use crate::lab::program::Program;
use crate::process;

/// Numbers may differ by this part of the largest: sums of a batch have another order.
const TOLERANCE: f32 = 1e-3;
/// Part of the numbers that may differ by more: classes change where two are as likely.
const EXCEPTIONS: f64 = 0.002;

/// Photographs with the maps of each.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) tasks: Vec<String>,
    pub(super) photographs: Vec<Photograph>,
}

/// A photograph and its maps by task.
#[derive(Debug)]
pub(super) struct Photograph {
    pub(super) bytes: Vec<u8>,
    maps: BTreeMap<String, Vec<f32>>,
}

impl Answers {
    /// Lets the program predict all photographs.
    pub(super) fn write(program: &Program, flags: &Load, out: &Path) -> Result<Self> {
        if out.exists() {
            std::fs::remove_dir_all(out).with_context(|| out.display().to_string())?;
        }
        let mut predict = program.command("predict");
        predict.arg(&flags.run).arg(&flags.photographs).arg("--raw").arg("--out").arg(out);
        process::step(predict.stdout(Stdio::null()))?;
        let mut photographs = Vec::new();
        let entries = std::fs::read_dir(&flags.photographs)
            .with_context(|| flags.photographs.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default();
            let maps = out.join(stem).with_extension("safetensors");
            if maps.exists() {
                let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
                photographs.push(Photograph { bytes, maps: read(&maps)? });
            }
        }
        let Some(first) = photographs.first() else {
            bail!("{}: expected photographs, found none", flags.photographs.display());
        };
        Ok(Self { tasks: first.maps.keys().cloned().collect(), photographs })
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, Vec<f32>>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let file = SafeTensors::deserialize(&bytes).with_context(|| path.display().to_string())?;
    let one = |(name, tensor): (String, safetensors::tensor::TensorView)| {
        (name, tensor.data().chunks_exact(4).map(float).collect())
    };
    Ok(file.tensors().into_iter().map(one).collect())
}

impl Photograph {
    /// Whether an answer for `tasks`, an `.npy` file or an archive of them, is right.
    pub(super) fn is_answered(&self, tasks: &[&str], answer: &[u8]) -> bool {
        let right = |task: &str, file: &[u8]| {
            let found = npy(file).unwrap_or_default();
            self.maps.get(task).is_some_and(|expected| same(&found, expected))
        };
        match zip::ZipArchive::new(Cursor::new(answer)) {
            Ok(mut archive) => tasks.iter().all(|task| {
                let mut bytes = Vec::new();
                let file = archive.by_name(&format!("{task}.npy"));
                file.is_ok_and(|mut file| file.read_to_end(&mut bytes).is_ok())
                    && right(task, &bytes)
            }),
            Err(_) => matches!(tasks, [task] if right(task, answer)),
        }
    }
}

fn float(four: &[u8]) -> f32 {
    f32::from_le_bytes([four[0], four[1], four[2], four[3]])
}

/// The numbers of an `.npy` file of 4-byte numbers.
fn npy(bytes: &[u8]) -> Option<Vec<f32>> {
    let length = usize::from(u16::from_le_bytes([*bytes.get(8)?, *bytes.get(9)?]));
    let (header, data) = bytes.get(10..)?.split_at_checked(length)?;
    let text = std::str::from_utf8(header).ok()?;
    let whole = |four: &[u8]| i32::from_le_bytes([four[0], four[1], four[2], four[3]]) as f32;
    let number = if text.contains("<i4") { whole } else { float };
    Some(data.chunks_exact(4).map(number).collect())
}

fn same(found: &[f32], expected: &[f32]) -> bool {
    let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let pairs = found.iter().zip(expected);
    // Not "above": a number that is none differs too.
    let near = |a: &f32, b: &f32| (a - b).abs() <= TOLERANCE * largest;
    let differ = pairs.filter(|(a, b)| !near(a, b)).count();
    found.len() == expected.len() && differ as f64 <= EXCEPTIONS * expected.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(descr: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'shape': (2,), }}\n");
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", length.as_slice(), header.as_bytes(), data].concat()
    }

    #[test]
    fn answers_of_other_photographs_are_wrong() {
        let maps = [("depth".to_owned(), vec![1.0, 2.0])].into();
        let photograph = Photograph { bytes: vec![], maps };
        let of = |a: f32, b: f32| file("<f4", &[a.to_le_bytes(), b.to_le_bytes()].concat());
        assert!(photograph.is_answered(&["depth"], &of(1.0, 2.001)));
        assert!(!photograph.is_answered(&["depth"], &of(2.0, 1.0)));
        assert!(!photograph.is_answered(&["depth"], &of(f32::NAN, 2.0)));
        assert!(!photograph.is_answered(&["depth"], b"\x93NUMPY"));
        assert!(!photograph.is_answered(&["sal"], &of(1.0, 2.0)));
        let whole = [1i32.to_le_bytes(), 2i32.to_le_bytes()].concat();
        assert!(photograph.is_answered(&["depth"], &file("<i4", &whole)));
    }
}
