//! What methods that add tokens to an image's have in common.

use polyptych_tensor::{Error, Result, Site, SiteKind};

/// Why a model with prompts cannot be merged.
pub(crate) const UNMERGEABLE: &str =
    "prompts are tokens among an image's, and no weight can hold them";

/// Checks that a backbone with `sites` has a place for the prompts of `method`.
///
/// # Errors
/// A backbone that asks for none, such as a PVT v2.
pub(crate) fn check_place(method: &str, sites: &[Site]) -> Result<()> {
    match sites.iter().any(|site| site.kind == SiteKind::Block) {
        true => Ok(()),
        false => Err(Error::Config {
            key: "adapter".into(),
            expected: "a backbone with a place for prompts, such as a ViT or a Swin".into(),
            found: format!("{method} on one without"),
        }),
    }
}
