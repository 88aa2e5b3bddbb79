//! Hugging Face's `ViTModel`, `DeiTModel`, `Dinov2Model` and `Dinov2WithRegistersModel`, with and
//! without a classifier.
//!
//! Files keep the names that the library had first (`encoder.layer.0.attention.attention.query`);
//! since version 5 its modules, and so adapters, have others (`layers.0.attention.q_proj`).

use polyptych_tensor::Tensors;

use super::prefix_table::replace_prefix;
use super::qkv::join_qkv;
use super::registers::without_prefix_positions;
use super::source::Source;
use crate::error::Result;

/// Hugging Face's ViT, DeiT and DINOv2, with registers and without.
///
/// The second mark is that of modules since version 5, as a plain state dict has them.
pub const HUGGING_FACE_VIT: Source = Source {
    block: Some(r"encoder\.layer\.\d+\.|layers\.\d+\.(?:attention\.[qkvo]_proj|layernorm_)"),
    pre_norm_only: true,
    rename_one: Some(huggingface_vit_name),
    unusable_classifier: reads_patches,
    ..Source::new(
        "Hugging Face's ViT",
        &["encoder.layer.0.", "layers.0.attention.q_proj."],
        huggingface_vit,
    )
};

const READS_PATCHES: &str = "the classifier reads the class token and the mean of the patches, \
                             where timm's models read one of them: it is left out";

/// Prefixes of the trunk in a model with a classifier.
const TRUNKS: [&str; 4] = ["vit.", "deit.", "dinov2.", "dinov2_with_registers."];

const TOP: [(&str, &str); 9] = [
    ("embeddings.distillation_token", "dist_token"),
    ("embeddings.register_tokens", "reg_token"),
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("layernorm.", "norm."),
    ("classifier.", "head."),
    ("cls_classifier.", "head."),
    ("distillation_classifier.", "head_dist."),
];

/// Prefixes of a block's number.
const BLOCKS: [&str; 2] = ["encoder.layer.", "layers."];

/// `mlp.fc1`, `mlp.fc2`, `norm1` and `norm2` have timm's names.
const BLOCK: [(&str, &str); 18] = [
    ("attention.attention.query.", "attn.qkv.q."),
    ("attention.attention.key.", "attn.qkv.k."),
    ("attention.attention.value.", "attn.qkv.v."),
    ("attention.output.dense.", "attn.proj."),
    ("attention.q_proj.", "attn.qkv.q."),
    ("attention.k_proj.", "attn.qkv.k."),
    ("attention.v_proj.", "attn.qkv.v."),
    ("attention.o_proj.", "attn.proj."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
    ("layer_scale1.lambda1", "ls1.gamma"),
    ("layer_scale2.lambda1", "ls2.gamma"),
    ("mlp.weights_in.", "mlp.fc1."),
    ("mlp.weights_out.", "mlp.fc2."),
    ("mlp.", "mlp."),
    ("norm", "norm"),
];

/// Names of Hugging Face's ViT and DINOv2 in timm's words, query, key and value joined.
///
/// What timm lacks, such as `embeddings.mask_token` and `pooler.dense`, keeps its name.
///
/// # Errors
/// Query, key and value of which one is absent or differs in shape; registers without the class
/// token and positions that they stand beside.
fn huggingface_vit(tensors: Tensors) -> Result<Tensors> {
    let named = tensors.into_iter().map(|(name, tensor)| (huggingface_vit_name(&name), tensor));
    without_prefix_positions(join_qkv(named.collect())?, "reg_token")
}

/// The name of one tensor or factor in timm's words; `q`, `k` and `v` of `attn.qkv` stay apart.
fn huggingface_vit_name(name: &str) -> String {
    let short = TRUNKS.iter().find_map(|trunk| name.strip_prefix(trunk)).unwrap_or(name);
    renamed(short).unwrap_or_else(|| short.to_owned())
}

fn renamed(name: &str) -> Option<String> {
    let Some(block) = BLOCKS.iter().find_map(|prefix| name.strip_prefix(prefix)) else {
        return replace_prefix(name, &TOP);
    };
    let (index, rest) = block.split_once('.')?;
    Some(format!("blocks.{index}.{}", replace_prefix(rest, &BLOCK)?))
}

/// Whether the classifier reads the class token beside the mean of the patches, as that of Hugging
/// Face's DINOv2 does.
fn reads_patches(tensors: &Tensors) -> Option<&'static str> {
    let last = |name: &str| tensors.get(name)?.size().last().copied();
    let (head, token) = last("head.weight").zip(last("cls_token"))?;
    (head == 2 * token).then_some(READS_PATCHES)
}
