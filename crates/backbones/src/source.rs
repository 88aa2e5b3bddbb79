//! Who wrote a checkpoint, told by the names of its tensors.

use std::fmt;

use polyptych_tensor::Tensors;

use crate::{Result, rename};

/// A layout of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// timm as it is, and whatever has its names.
    Timm,
    /// Swin's authors, and timm's Swin of old.
    MicrosoftSwin,
    /// TorchVision's Swin, first version.
    TorchVisionSwin,
    /// TorchVision's ViT.
    TorchVisionVit,
    /// Hugging Face's Swin, first version.
    HuggingFaceSwin,
    /// Hugging Face's ViT and DINOv2, with registers and without.
    HuggingFaceVit,
    /// ViT's authors, in NumPy's archives.
    AugReg,
    /// MTLoRA's authors.
    MtLora,
    /// EMTAL's authors.
    Emtal,
}

/// What a name holds in which source, the most telling first. Versions of an architecture that we
/// lack have marks of their own, and are no source.
const MARKS: [(&str, Option<Source>); 16] = [
    ("cpb_mlp", None),
    ("continuous_position_bias_mlp", None),
    ("mlp.weights_in.", None),
    ("Transformer/encoderblock_", Some(Source::AugReg)),
    ("lora_shared_A", Some(Source::MtLora)),
    ("decoders.decoders.", Some(Source::MtLora)),
    (".attn.lora_qkv", Some(Source::Emtal)),
    (".mlp.gate_weight_lora.", Some(Source::Emtal)),
    ("features.1.0.attn.qkv.weight", Some(Source::TorchVisionSwin)),
    ("encoder.layers.encoder_layer_", Some(Source::TorchVisionVit)),
    ("encoder.layers.0.blocks.0.", Some(Source::HuggingFaceSwin)),
    ("encoder.layer.0.", Some(Source::HuggingFaceVit)),
    // Modules since version 5, as a plain state dict has them.
    ("layers.0.attention.q_proj.", Some(Source::HuggingFaceVit)),
    ("layers.0.downsample.", Some(Source::MicrosoftSwin)),
    ("layers.0.blocks.0.", Some(Source::Timm)),
    ("blocks.0.", Some(Source::Timm)),
];

impl Source {
    /// Who wrote `tensors`; nothing for names that are of no ViT or Swin.
    pub fn of(tensors: &Tensors) -> Option<Self> {
        let marked = |mark: &str| tensors.keys().any(|name| name.contains(mark));
        let (_, source) = MARKS.iter().find(|(mark, _)| marked(mark))?;
        *source
    }

    /// `tensors` under timm's names.
    ///
    /// # Errors
    /// A tensor that is not what its name says.
    pub fn rename(self, tensors: Tensors) -> Result<Tensors> {
        Ok(match self {
            Source::Timm => rename::dinov2_registers(tensors)?,
            Source::MicrosoftSwin => rename::microsoft_swin(tensors),
            Source::TorchVisionSwin => rename::torchvision_swin(tensors),
            Source::TorchVisionVit => rename::torchvision_vit(tensors),
            Source::HuggingFaceSwin => rename::huggingface_swin(tensors)?,
            Source::HuggingFaceVit => rename::huggingface_vit(tensors)?,
            Source::AugReg => rename::augreg_vit(tensors)?,
            Source::MtLora => rename::mtlora(tensors),
            Source::Emtal => rename::emtal(tensors),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Timm => "timm",
            Source::MicrosoftSwin => "Microsoft's Swin",
            Source::TorchVisionSwin => "TorchVision's Swin",
            Source::TorchVisionVit => "TorchVision's ViT",
            Source::HuggingFaceSwin => "Hugging Face's Swin",
            Source::HuggingFaceVit => "Hugging Face's ViT",
            Source::AugReg => "AugReg's ViT",
            Source::MtLora => "MTLoRA",
            Source::Emtal => "EMTAL",
        })
    }
}
