//! Weights of whatever source, from a file or a folder; the content says what they are.

mod folder;
mod huggingface;

use std::path::Path;

use polyptych_tensor::{Tensors, file, pth};

pub use huggingface::HuggingFaceConfig;

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
}

impl Checkpoint {
    /// Opens a safetensors file, one of PyTorch's or NumPy's, or a folder of Hugging Face's or
    /// timm's with its `config.json`.
    ///
    /// # Errors
    /// What cannot be read, a shard that is missing, or names that are of no ViT or Swin.
    pub fn open(path: &Path) -> Result<Self> {
        let origin = path.display().to_string();
        if path.is_dir() {
            let (tensors, config) = folder::open(path)?;
            return Ok(Self { config, ..Self::of(&origin, tensors)? });
        }
        Self::of(&origin, read(path)?).map_err(|e| folder::of_shard(path).unwrap_or(e))
    }

    /// The same of tensors that were read already.
    ///
    /// # Errors
    /// Names that are of no ViT or Swin, or a tensor that is not what its name says.
    pub fn of(origin: &str, tensors: Tensors) -> Result<Self> {
        let source = Source::of(&tensors).ok_or_else(|| foreign(origin, &tensors))?;
        let tensors = source.rename(tensors)?;
        Ok(Self { origin: origin.into(), source, tensors, config: None })
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

/// Tensors under the names of the file.
fn read(path: &Path) -> Result<Tensors> {
    if pth::is_pth(path) {
        Ok(pth::load(path)?)
    } else if npz::is_npz(path) {
        npz::load(path)
    } else {
        Ok(file::load(path)?.tensors)
    }
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
