//! Weights of whatever source, from a file or a folder; the content says what they are.

mod folder;
mod huggingface;

use std::path::Path;

use polyptych_tensor::pth::{self, Choice, StateDict};
use polyptych_tensor::{Tensors, file};

pub use huggingface::HuggingFaceConfig;

use crate::prefix::{Unwrapped, unwrap};
use crate::{BackboneConfig, Error, Outline, Result, Source, npz};

/// Patterns of buffers that some sources keep and every Swin computes.
pub const COMPUTED: [&str; 3] =
    ["*.relative_position_index", "*.relative_coords_table", "*.attn_mask"];

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
    /// What was chosen on the way to them, for people: which state dict of several, which prefix of
    /// names, what was left out.
    pub notes: Vec<String>,
}

impl Checkpoint {
    /// Opens a safetensors file, one of PyTorch's or NumPy's, or a folder of Hugging Face's or
    /// timm's with its `config.json`.
    ///
    /// # Errors
    /// What cannot be read, a shard that is missing, or names that are of no ViT or Swin.
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

    /// The same of tensors that were read already.
    ///
    /// # Errors
    /// Names that are of no ViT or Swin, or a tensor that is not what its name says.
    pub fn of(origin: &str, tensors: Tensors) -> Result<Self> {
        Self::of_read(origin, Read { tensors, notes: Vec::new(), left: Choice::default() })
    }

    fn of_read(origin: &str, read: Read) -> Result<Self> {
        let Unwrapped { tensors, notes } = unwrap(origin, read.tensors, &read.left)?;
        let source = Source::of(&tensors).ok_or_else(|| foreign(origin, &tensors))?;
        let tensors = source.rename(tensors)?;
        let notes = read.notes.into_iter().chain(notes).collect();
        Ok(Self { origin: origin.into(), source, tensors, config: None, notes })
    }

    /// Checks that the weights are of the architecture of `backbone`, as far as names tell, and
    /// that a configuration beside them agrees in what shapes do not tell.
    ///
    /// # Errors
    /// Another architecture, width or depth; another number of heads or activation.
    pub fn check(&self, backbone: &BackboneConfig) -> Result<()> {
        let (wanted, found) = (Outline::of_config(backbone), Outline::of(&self.tensors));
        if let Some(found) = found.filter(|found| *found != wanted) {
            return Err(Error::Checkpoint {
                origin: self.origin.clone(),
                key: "weights".into(),
                expected: wanted.to_string(),
                found: format!("{found}; choose the backbone.name that they belong to"),
            });
        }
        self.config.as_ref().map_or(Ok(()), |config| config.check(&self.origin, backbone))
    }
}

/// Tensors under the names of the file, and what is reported of their choice.
struct Read {
    tensors: Tensors,
    notes: Vec<String>,
    /// What is still to be chosen by the prefixes of names.
    left: Choice,
}

fn read(path: &Path, choice: &Choice) -> Result<Read> {
    let tensors = if pth::is_pth(path) {
        return Ok(read_pth(path, choice)?);
    } else if npz::is_npz(path) {
        npz::load(path)?
    } else {
        file::load(path)?.tensors
    };
    Ok(Read { tensors, notes: Vec::new(), left: choice.clone() })
}

/// A key that the file does not have may be what stands before the names of its state dict.
fn read_pth(path: &Path, choice: &Choice) -> polyptych_tensor::Result<Read> {
    let keyless = Choice { key: None, ..choice.clone() };
    let (read, left) = match (pth::load_choice(path, choice), &choice.key) {
        (Ok(read), _) => (read, keyless),
        (Err(e), None) => return Err(e),
        (Err(e), Some(key)) => {
            let found = pth::load_choice(path, &keyless).ok();
            let behind = |found: &StateDict| found.tensors.keys().any(|n| n.starts_with(key));
            (found.filter(behind).ok_or(e)?, choice.clone())
        }
    };
    let mut notes = Vec::new();
    if !read.key.is_empty() {
        notes.push(format!("state dict: `{}`", read.key));
    }
    if !read.others.is_empty() {
        notes.push(format!("others that are not read: `{}`", read.others.join("`, `")));
    }
    Ok(Read { tensors: read.tensors, notes, left })
}

fn foreign(origin: &str, tensors: &Tensors) -> Error {
    let names: Vec<&str> = tensors.keys().take(3).map(String::as_str).collect();
    Error::Checkpoint {
        origin: origin.into(),
        key: "names".into(),
        expected: "those of a ViT or Swin (timm, Microsoft, TorchVision, Hugging Face, AugReg, \
                   MTLoRA, EMTAL)"
            .into(),
        found: format!("{} tensors such as {}", tensors.len(), names.join(", ")),
    }
}
