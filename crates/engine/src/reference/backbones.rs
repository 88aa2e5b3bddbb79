//! Named backbones, as `backbone.name` of a recipe has them.

use polyptych_backbones::BackboneConfig;
use serde::Serialize;

/// A named backbone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackboneInfo {
    /// timm's name, where timm has it.
    pub name: &'static str,
    /// The architecture that it configures.
    pub architecture: &'static str,
    /// Channels behind the patch embedding.
    pub embed_dim: i64,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Height and width that it is planned for; a recipe may choose another size.
    pub img_size: [i64; 2],
}

/// All named backbones, architecture by architecture.
pub(super) fn backbones() -> Vec<BackboneInfo> {
    let names = BackboneConfig::variant_names();
    // A name of the list is known.
    let known =
        names.into_iter().filter_map(|name| Some((name, BackboneConfig::from_name(name).ok()?)));
    known.map(|(name, config)| info(name, &config)).collect()
}

fn info(name: &'static str, config: &BackboneConfig) -> BackboneInfo {
    let summary = config.summary();
    BackboneInfo {
        name,
        architecture: config.name(),
        embed_dim: summary.embed_dim,
        depths: summary.depths,
        img_size: config.image().1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_listed() {
        let listed: Vec<&str> = backbones().iter().map(|info| info.name).collect();
        assert_eq!(listed, BackboneConfig::variant_names());
        assert!(listed.len() > 10);
    }
}
