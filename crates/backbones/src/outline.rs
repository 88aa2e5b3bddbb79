//! What a set of tensors with timm's names is the trunk of.

use std::fmt;

use polyptych_tensor::Tensors;

use crate::BackboneConfig;

/// Architecture, width and depth: what tells two trunks apart at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// `Swin` or `ViT`.
    pub architecture: &'static str,
    /// Channels of the first stage.
    pub embed_dim: i64,
    /// Blocks per stage; a ViT has one stage.
    pub depths: Vec<usize>,
}

impl Outline {
    /// The outline of `tensors`; nothing where they are of neither architecture.
    pub fn of(tensors: &Tensors) -> Option<Self> {
        let blocks = |prefix: &str| {
            let known = |index: &usize| has(tensors, &format!("{prefix}blocks.{index}."));
            (0..).take_while(known).count()
        };
        let stages = (0..).map(|stage| blocks(&format!("layers.{stage}.")));
        let depths: Vec<usize> = stages.take_while(|&depth| depth > 0).collect();
        let (architecture, depths) = match depths.is_empty() {
            true => ("ViT", vec![blocks("")]),
            false => ("Swin", depths),
        };
        let embed_dim = *tensors.get("patch_embed.proj.weight")?.size().first()?;
        (depths[0] > 0).then_some(Self { architecture, embed_dim, depths })
    }

    /// The outline of what `config` builds.
    pub fn of_config(config: &BackboneConfig) -> Self {
        match config {
            BackboneConfig::Swin(swin) => Self {
                architecture: "Swin",
                embed_dim: swin.embed_dim,
                depths: swin.depths.clone(),
            },
            BackboneConfig::Vit(vit) => {
                Self { architecture: "ViT", embed_dim: vit.embed_dim, depths: vec![vit.depth] }
            }
        }
    }
}

impl fmt::Display for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { architecture, embed_dim, depths } = self;
        write!(f, "a {architecture} of {embed_dim} channels and {depths:?} blocks")
    }
}

fn has(tensors: &Tensors, prefix: &str) -> bool {
    let next = tensors.range(prefix.to_owned()..).next();
    next.is_some_and(|(name, _)| name.starts_with(prefix))
}
