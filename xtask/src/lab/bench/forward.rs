//! Forward passes of merged backbones, each beside timm's.

use super::case::{Case, case};
use super::peers::{Peer, peer, runtime};

pub(super) const ONNXRUNTIME: Peer =
    runtime("onnxruntime on our ONNX", "merged_onnx.py", &["fp32", "int8"], "onnxruntime");
pub(super) const OPENVINO: Peer =
    runtime("OpenVINO on our ONNX", "merged_openvino.py", &["fp32", "bf16", "int8"], "openvino");

/// The case of a name, with what it is and timm's name of it; behind them, peers beside timm.
macro_rules! forward {
    ($name:literal, $about:literal, $backbone:literal $(, $peer:expr)*) => {
        Case {
            backbone: Some($backbone),
            ..case(
                $name,
                concat!("forward pass of ", $about),
                false,
                &[
                    peer("timm", "merged.py", &["--backbone", $backbone]),
                    peer(
                        "timm, torch.compile",
                        "merged.py",
                        &["--backbone", $backbone, "--compile", "1"],
                    ),
                    $($peer,)*
                ],
            )
        }
    };
}

/// A small model of every architecture. Swin V2's windows want sides that 256 divides.
pub(super) const FORWARD: [Case; 13] = [
    forward!("swin", "a merged Swin-T", "swin_tiny_patch4_window7_224", ONNXRUNTIME, OPENVINO),
    forward!("vit", "a merged ViT-B/16", "vit_base_patch16_224", ONNXRUNTIME, OPENVINO),
    forward!("dinov2", "DINOv2's ViT-S/14 with registers", "vit_small_patch14_reg4_dinov2"),
    forward!("dinov3", "DINOv3's ViT-S/16", "vit_small_patch16_dinov3"),
    forward!("deit3", "DeiT III's ViT-S/16", "deit3_small_patch16_224"),
    forward!("siglip", "SigLIP's ViT-B/16", "vit_base_patch16_siglip_224"),
    forward!("clip", "CLIP's ViT-B/16", "vit_base_patch16_clip_224"),
    forward!("eva02", "EVA-02 S/14", "eva02_small_patch14_224"),
    forward!("beit", "BEiT B/16", "beit_base_patch16_224"),
    forward!("swinv2", "Swin V2-T with windows of 8", "swinv2_tiny_window8_256"),
    forward!("pvt", "PVT v2-B2", "pvt_v2_b2"),
    forward!("hiera", "Hiera-T", "hiera_tiny_224"),
    forward!("convnext", "ConvNeXt-T", "convnext_tiny"),
];
