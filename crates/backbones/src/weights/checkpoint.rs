//! Weights of whatever source, from a file or a folder; the content says what they are.

mod folder;
mod huggingface;
mod read;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use polyptych_formats::TensorFile;
use polyptych_formats::pth::Choice;
use polyptych_tensor::Tensors;
use serde_json::Map;

pub use huggingface::HuggingFaceConfig;

use self::read::{Read, read};
use super::prefix::{Unwrapped, unwrap};
use super::sources::Source;
use crate::architectures::architecture::Ambiguity;
use crate::architectures::swin::ROUNDED_UP;
use crate::architectures::{BackboneConfig, missing_block, summary_of, unknown_parameter};
use crate::error::{Error, Result};

/// Tensors under timm's names.
#[derive(Debug)]
pub struct Checkpoint {
    /// The file or folder.
    pub origin: String,
    /// Who wrote it.
    pub source: Source,
    /// Tensors by timm's names; what timm has no name for keeps its own.
    pub tensors: Tensors,
    /// What stands beside the weights in a folder of Hugging Face's.
    pub config: Option<HuggingFaceConfig>,
    /// What was chosen, for people: which state dict of several, which prefix of names, what was
    /// left out.
    pub notes: Vec<String>,
    /// Whether the header says [`ROUNDED_UP`].
    pub rounded_up: bool,
}

/// The tensors in the file or folder at `path`, whatever they are of, under their own names.
///
/// # Errors
/// What cannot be read, or a shard that is missing.
pub(crate) fn tensors_in(path: &Path) -> Result<Tensors> {
    let choice = Choice::default();
    let read = if path.is_dir() { folder::open(path, &choice)?.0 } else { read(path, &choice)? };
    Ok(read.file.tensors)
}

impl Checkpoint {
    /// Opens a safetensors file, one of PyTorch's or NumPy's, or a folder of Hugging Face's or
    /// timm's with its `config.json`.
    ///
    /// # Errors
    /// What cannot be read, a shard that is missing, or names that are of no backbone.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_choice(path, &Choice::default())
    }

    /// As [`Checkpoint::open`], where the file holds weights of several models: `choice` says
    /// which are read, by a key of a file of PyTorch's, or by what stands before names.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], and a key that is neither.
    pub fn open_choice(path: &Path, choice: &Choice) -> Result<Self> {
        let origin = path.display().to_string();
        if path.is_dir() {
            let (read, config) = folder::open(path, choice)?;
            return Ok(Self { config, ..Self::of_read(&origin, read)? });
        }
        let opened = read(path, choice).and_then(|read| Self::of_read(&origin, read));
        opened.map_err(|e| folder::of_shard(path).unwrap_or(e))
    }

    /// The same of a file that was read already.
    ///
    /// # Errors
    /// Names that are of no backbone, or a tensor that is not what its name says.
    pub fn of(origin: &str, file: TensorFile) -> Result<Self> {
        Self::of_read(origin, Read { file, notes: Vec::new(), left: Choice::default() })
    }

    fn of_read(origin: &str, read: Read) -> Result<Self> {
        let TensorFile { tensors, metadata } = read.file;
        let Unwrapped { tensors, notes } = unwrap(origin, tensors, &read.left)?;
        let source = *Source::of(&tensors).ok_or_else(|| foreign(origin, &tensors))?;
        let (tensors, left_out) = without(source.left_out, tensors);
        let tensors = source.rename(tensors)?;
        let notes = read.notes.into_iter().chain(notes).chain(left_out).collect();
        let rounded_up = is_rounded_up(&metadata);
        Ok(Self { origin: origin.into(), source, tensors, config: None, notes, rounded_up })
    }

    /// What `tensors`, those of the checkpoint or a part of them, are of; nothing where they are no
    /// whole backbone. Heads are those of the configuration beside the weights, if there is one.
    ///
    /// # Errors
    /// A tensor that no backbone of ours has, tensors that several architectures have, or a
    /// configuration beside them that says something else.
    pub fn deduce(&self, tensors: &Tensors) -> Result<Option<BackboneConfig>> {
        if let Some(name) = unknown_parameter(tensors) {
            let expected = "only parameters of a backbone that is supported".into();
            let found = format!("{name}, which none of them has");
            return Err(self.wrong("names", expected, found));
        }
        self.whole(tensors)?;
        let none = Map::new();
        let fields = self.config.as_ref().map_or(&none, HuggingFaceConfig::fields);
        let Some(backbone) = BackboneConfig::of_tensors(tensors, fields) else { return Ok(None) };
        let settled = |ambiguity: &Ambiguity| {
            self.source.pre_norm_only
                || ambiguity.settled_by.is_some_and(|key| fields.contains_key(key))
        };
        match backbone.ambiguity().filter(|ambiguity| !settled(ambiguity)) {
            Some(Ambiguity { key, expected, found, .. }) => {
                Err(self.wrong(key, expected.into(), found.into()))
            }
            None => self.check(&backbone).map(|()| Some(backbone)),
        }
    }

    /// # Errors
    /// Blocks of which one in the middle is not there: the depth would be that before it.
    fn whole(&self, tensors: &Tensors) -> Result<()> {
        missing_block(tensors).map_or(Ok(()), |(block, last)| {
            let expected = format!("every block up to {last}");
            Err(self.wrong("names", expected, format!("no {block}")))
        })
    }

    fn wrong(&self, key: &str, expected: String, found: String) -> Error {
        Error::Checkpoint { origin: self.origin.clone(), key: key.into(), expected, found }
    }

    /// Checks that the weights are of the architecture of `backbone`, as far as names tell, and
    /// that a configuration beside them agrees in what shapes do not tell.
    ///
    /// # Errors
    /// Another architecture, width or depth; another number of heads or activation; a Swin's
    /// tables of relative positions for windows that `backbone` cannot have.
    pub fn check(&self, backbone: &BackboneConfig) -> Result<()> {
        self.whole(&self.tensors)?;
        let (wanted, found) = (backbone.summary(), summary_of(&self.tensors));
        if let Some(found) = found.filter(|found| *found != wanted) {
            let found = format!("{found}; choose the backbone.name that they belong to");
            return Err(self.wrong("weights", wanted.to_string(), found));
        }
        backbone.check_tensors(&self.origin, &self.tensors)?;
        self.config.as_ref().map_or(Ok(()), |config| config.check(&self.origin, backbone))
    }

    /// What people should know of how these weights become those of `backbone`: the choices on the
    /// way to them, tables that may be of a plan that was rounded down, and where the code that the
    /// weights come from computes something else.
    pub fn notes_for(&self, backbone: &BackboneConfig) -> Vec<String> {
        let unmarked = (!self.rounded_up).then_some(&self.tensors);
        let old = unmarked.and_then(|tensors| backbone.note_rounded_down(tensors));
        let padded = self.source.pads_before_roll.then(|| backbone.note_rolled_first());
        let padded = padded.flatten().map(|note| format!("{} {note}", self.source));
        self.notes.iter().cloned().chain(old).chain(padded).collect()
    }
}

/// `tensors` without those whose names have one of `starts`, and what is reported of these.
fn without(starts: &[&str], tensors: Tensors) -> (Tensors, Option<String>) {
    let is_out = |name: &str| starts.iter().any(|start| name.starts_with(start));
    let (out, kept): (Tensors, Tensors) = tensors.into_iter().partition(|(name, _)| is_out(name));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in out.keys() {
        *counts.entry(name.split('.').next().unwrap_or(name)).or_default() += 1;
    }
    let all: Vec<String> =
        counts.iter().map(|(first, count)| format!("{first} ({count})")).collect();
    let note = format!("left out, of no backbone: {}", all.join(", "));
    (kept, (!all.is_empty()).then_some(note))
}

/// Whether a header says [`ROUNDED_UP`].
pub fn is_rounded_up(metadata: &HashMap<String, String>) -> bool {
    let (key, value) = ROUNDED_UP;
    metadata.get(key).is_some_and(|found| found == value)
}

fn foreign(origin: &str, tensors: &Tensors) -> Error {
    let names: Vec<&str> = tensors.keys().take(3).map(String::as_str).collect();
    let sources: Vec<&str> = Source::all().iter().map(|source| source.name).collect();
    Error::Checkpoint {
        origin: origin.into(),
        key: "names".into(),
        expected: format!("those of a backbone ({})", sources.join(", ")),
        found: format!("{} tensors such as {}", tensors.len(), names.join(", ")),
    }
}
