//! What a server must say: the maps that `polyptych predict --raw` wrote.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use safetensors::SafeTensors;

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
    maps: BTreeMap<String, Expected>,
}

/// The numbers of a map.
#[derive(Debug)]
struct Expected {
    values: Vec<f32>,
    /// What may lie between a number and its like.
    tolerance: f32,
}

impl Answers {
    /// Lets the program predict all photographs.
    pub(super) fn write(
        program: &Program,
        (run, photographs_in): (&Path, &Path),
        out: &Path,
    ) -> Result<Self> {
        if out.exists() {
            std::fs::remove_dir_all(out).with_context(|| out.display().to_string())?;
        }
        let mut predict = program.command("predict");
        predict.arg(run).arg(photographs_in).arg("--raw").arg("--out").arg(out);
        process::step(predict.stdout(Stdio::null()))?;
        let mut photographs = Vec::new();
        let entries = std::fs::read_dir(photographs_in)
            .with_context(|| photographs_in.display().to_string())?;
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
            bail!("{}: expected photographs, found none", photographs_in.display());
        };
        Ok(Self { tasks: first.maps.keys().cloned().collect(), photographs })
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, Expected>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let file = SafeTensors::deserialize(&bytes).with_context(|| path.display().to_string())?;
    let one = |(name, tensor): (String, safetensors::tensor::TensorView)| {
        (name, Expected::of(tensor.data().as_chunks().0.iter().map(|&four| float(four)).collect()))
    };
    Ok(file.tensors().into_iter().map(one).collect())
}

impl Photograph {
    /// Whether an answer for `tasks`, an `.npy` file or an archive of them, is right.
    pub(super) fn is_answered(&self, tasks: &[&str], answer: &[u8]) -> bool {
        let right = |task: &str, file: &[u8]| {
            self.maps.get(task).is_some_and(|expected| expected.is_in(file))
        };
        match zip::ZipArchive::new(Cursor::new(answer)) {
            Ok(mut archive) => tasks.iter().all(|task| {
                let file = stored(&mut archive, answer, &format!("{task}.npy"));
                file.is_some_and(|file| right(task, file))
            }),
            Err(_) => matches!(tasks, [task] if right(task, answer)),
        }
    }
}

/// The bytes of a file that stands in an archive as it is. Clients take time from the servers that
/// they share the machine with, so nothing is copied.
fn stored<'a>(
    archive: &mut zip::ZipArchive<Cursor<&[u8]>>,
    bytes: &'a [u8],
    name: &str,
) -> Option<&'a [u8]> {
    let file = archive.by_name(name).ok()?;
    let start = usize::try_from(file.data_start()).ok()?;
    let whole = file.compression() == zip::CompressionMethod::Stored;
    let size = usize::try_from(file.size()).ok().filter(|_| whole)?;
    bytes.get(start..start.checked_add(size)?)
}

fn float(four: [u8; 4]) -> f32 {
    f32::from_le_bytes(four)
}

impl Expected {
    fn of(values: Vec<f32>) -> Self {
        let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        Self { values, tolerance: TOLERANCE * largest }
    }

    /// Whether an `.npy` file of 4-byte numbers has these.
    fn is_in(&self, bytes: &[u8]) -> bool {
        let whole = |four: [u8; 4]| i32::from_le_bytes(four) as f32;
        match npy(bytes) {
            Some((true, data)) => self.is_near(data, whole),
            Some((false, data)) => self.is_near(data, float),
            None => false,
        }
    }

    fn is_near(&self, data: &[[u8; 4]], number: impl Fn([u8; 4]) -> f32) -> bool {
        let pairs = data.iter().zip(&self.values);
        // Not "above": a number that is none differs too.
        let near = |found: f32, expected: f32| (found - expected).abs() <= self.tolerance;
        let differ: u32 = pairs.map(|(four, value)| u32::from(!near(number(*four), *value))).sum();
        let count = self.values.len();
        data.len() == count && f64::from(differ) <= EXCEPTIONS * count as f64
    }
}

/// Whether an `.npy` file has whole numbers, and its numbers of 4 bytes.
fn npy(bytes: &[u8]) -> Option<(bool, &[[u8; 4]])> {
    let length = usize::from(u16::from_le_bytes([*bytes.get(8)?, *bytes.get(9)?]));
    let (header, data) = bytes.get(10..)?.split_at_checked(length)?;
    let text = std::str::from_utf8(header).ok()?;
    Some((text.contains("<i4"), data.as_chunks().0))
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
        let maps = [("depth".to_owned(), Expected::of(vec![1.0, 2.0]))].into();
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
