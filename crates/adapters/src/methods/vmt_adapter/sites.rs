//! Where adapters, knowledge-extraction modules and taps stand, and whether they fit together.

use polyptych_tensor::{Error, Result, Site};

use super::config::{KeBlocks, VmtAdapterConfig};

/// One adapter of a backbone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AdapterSite {
    /// timm's name of the MLP: `layers.2.blocks.5.mlp`.
    pub(super) path: String,
    pub(super) stage: usize,
    /// Whether tasks have modules here.
    pub(super) knowledge: bool,
    /// Whether task streams leave here.
    pub(super) tap: bool,
}

impl AdapterSite {
    /// What `config` puts beside `mlp`.
    pub(super) fn new(config: &VmtAdapterConfig, mlp: &Site) -> Self {
        let block = block(&mlp.path).to_owned();
        let tap = match &config.taps {
            Some(blocks) => blocks.contains(&block),
            None => mlp.last_in_stage,
        };
        let knowledge = match &config.ke_blocks {
            KeBlocks::Taps => tap,
            KeBlocks::All => true,
            KeBlocks::Named(blocks) => blocks.contains(&block),
        };
        Self { path: mlp.path.clone(), stage: mlp.stage, knowledge, tap }
    }

    fn block(&self) -> &str {
        block(&self.path)
    }
}

fn block(mlp: &str) -> &str {
    mlp.strip_suffix(".mlp").unwrap_or(mlp)
}

/// Checks `config` against all `places`, in the order of the backbone.
///
/// # Errors
/// A name that no block has, two taps in one stage, a tap that nothing leaves at, a module that
/// would get no gradient because no tap of its stage follows.
pub(super) fn check(config: &VmtAdapterConfig, places: &[AdapterSite]) -> Result<()> {
    let taps = config.taps.iter().flatten().map(|name| ("taps", name));
    let named = match &config.ke_blocks {
        KeBlocks::Named(names) => names.as_slice(),
        KeBlocks::Taps | KeBlocks::All => &[],
    };
    for (key, name) in taps.chain(named.iter().map(|name| ("ke_blocks.named", name))) {
        if !places.iter().any(|place| place.block() == name) {
            return Err(wrong(key, format!("some of {}", blocks(places)), name));
        }
    }
    places.chunk_by(|a, b| a.stage == b.stage).try_for_each(check_stage)
}

fn check_stage(stage: &[AdapterSite]) -> Result<()> {
    let taps: Vec<usize> = (0..stage.len()).filter(|&index| stage[index].tap).collect();
    if let [first, second, ..] = taps[..] {
        let found = format!("{} and {}", stage[first].block(), stage[second].block());
        return Err(wrong("taps", "at most one block in each stage".into(), &found));
    }
    let tap = taps.first().copied();
    let unheard = |(index, place): &(usize, &AdapterSite)| {
        place.knowledge && tap.is_none_or(|tap| *index > tap)
    };
    if let Some((_, place)) = stage.iter().enumerate().find(unheard) {
        let expected = "blocks with a tap at or behind them in their stage";
        let found = format!("{}, whose modules would get no gradient", place.block());
        return Err(wrong("ke_blocks", expected.into(), &found));
    }
    match tap.filter(|&tap| !stage[..=tap].iter().any(|place| place.knowledge)) {
        Some(tap) => {
            let expected = "a block with knowledge extraction at or before each tap in its stage";
            let found = format!("none for {}", stage[tap].block());
            Err(wrong("ke_blocks", expected.into(), &found))
        }
        None => Ok(()),
    }
}

fn blocks(places: &[AdapterSite]) -> String {
    places.iter().map(AdapterSite::block).collect::<Vec<_>>().join(", ")
}

fn wrong(key: &str, expected: String, found: &str) -> Error {
    Error::Config { key: key.into(), expected, found: found.into() }
}
