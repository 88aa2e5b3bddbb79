//! Architecture, width and depth of a trunk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use polyptych_tensor::Tensors;

/// What tells two trunks apart at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Name for people: `Swin`, `ViT`.
    pub architecture: &'static str,
    /// Channels of the first stage.
    pub embed_dim: i64,
    /// Blocks per stage; a ViT has one stage.
    pub depths: Vec<usize>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { architecture, embed_dim, depths } = self;
        write!(f, "a {architecture} of {embed_dim} channels and {depths:?} blocks")
    }
}

/// Channels behind the patch embedding.
pub(super) fn embed_dim(tensors: &Tensors) -> Option<i64> {
    tensors.get("patch_embed.proj.weight")?.size().first().copied()
}

/// Number of consecutive blocks whose tensors have `prefix`, as in `layers.0.`.
pub(super) fn count_blocks(tensors: &Tensors, prefix: &str) -> usize {
    let is_there = |index: &usize| has(tensors, &format!("{prefix}blocks.{index}."));
    (0..).take_while(is_there).count()
}

/// The first block that is not there although there are some before and behind it, and the last one.
pub(crate) fn missing_block(tensors: &Tensors) -> Option<(String, String)> {
    let mut numbers: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for name in tensors.keys() {
        let Some((stage, rest)) = name.split_once("blocks.") else { continue };
        let number = rest.split('.').next().and_then(|number| number.parse::<usize>().ok());
        if stage.is_empty() || stage.ends_with('.') {
            numbers.entry(stage).or_default().extend(number);
        }
    }
    numbers.into_iter().find_map(|(stage, numbers)| {
        let (first, last) = (*numbers.first()?, *numbers.last()?);
        let gap = (first..last).find(|number| !numbers.contains(number))?;
        let block = |number: usize| format!("{stage}blocks.{number}");
        (first == 0).then(|| (block(gap), block(last)))
    })
}

fn has(tensors: &Tensors, prefix: &str) -> bool {
    let next = tensors.range(prefix.to_owned()..).next();
    next.is_some_and(|(name, _)| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::{Tensor, Tensors};

    use super::missing_block;

    fn named(names: &[&str]) -> Tensors {
        names.iter().map(|name| ((*name).to_owned(), Tensor::new())).collect()
    }

    #[test]
    fn a_gap_among_blocks_is_found() {
        let whole = ["layers.0.blocks.0.a", "layers.0.blocks.1.a", "layers.1.blocks.0.a", "norm.a"];
        assert_eq!(missing_block(&named(&whole)), None);
        let gap = ["blocks.0.a", "blocks.1.a", "blocks.10.a", "blocks.2.a"];
        let expected = ("blocks.3".to_owned(), "blocks.10".to_owned());
        assert_eq!(missing_block(&named(&gap)), Some(expected));
        // The second half of a model.
        assert_eq!(missing_block(&named(&["blocks.6.a", "blocks.8.a"])), None);
    }
}
