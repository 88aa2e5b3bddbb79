//! Where in a backbone a method may put something.

/// Which projection of a block stands at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SiteKind {
    /// Query, key and value in one matrix: `attn.qkv`.
    Qkv,
    /// Output of attention: `attn.proj`.
    Proj,
    /// First matrix of the MLP: `mlp.fc1`.
    Fc1,
    /// Second matrix of the MLP: `mlp.fc2`.
    Fc2,
    /// Patch merging: `downsample.reduction`.
    Reduction,
    /// The whole MLP, `mlp`: no projection stands there, but a path may run beside it.
    Mlp,
    /// A whole block: no projection stands there, but prompts may join the tokens in front of it.
    Block,
}

/// One projection of a backbone, as the backbone describes it to a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// timm's name within the backbone: `layers.2.blocks.5.mlp.fc1`.
    pub path: String,
    /// What stands there.
    pub kind: SiteKind,
    /// Length of the last axis that goes in.
    pub in_features: i64,
    /// Length of the last axis that comes out.
    pub out_features: i64,
    /// Whether timm's layer has a bias.
    pub bias: bool,
    /// Index of the stage; a ViT's blocks fall into as many stages as it hands out features.
    pub stage: usize,
    /// Whether the block is the last of its stage.
    pub last_in_stage: bool,
    /// Whether the stage is the last of the backbone.
    pub last_stage: bool,
}

impl Site {
    /// Whether a projection stands there, not just room beside some.
    pub fn is_projection(&self) -> bool {
        !matches!(self.kind, SiteKind::Mlp | SiteKind::Block)
    }
}
