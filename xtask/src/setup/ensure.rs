//! What a build needs, brought where it is missing.

use anyhow::Result;

use super::install::{self, Setup};
use super::libtorch::user::{Choice, choice};
use super::libtorch::{home, link};
use super::record::Depth;
use crate::workspace;

/// Makes sure that a build finds LibTorch, setting it up first where it is missing.
pub(crate) fn libtorch() -> Result<()> {
    let root = workspace::root();
    let choice = choice(&root);
    if choice != Choice::Ours {
        return choice.check().map(drop);
    }
    let home = home::folder(&workspace::cache()?);
    let whole = home::whole(&home, Depth::Sizes).and_then(|()| link::points_to(&root, &home));
    let Err(reason) = whole else {
        return Ok(());
    };
    eprintln!("LibTorch is not set up ({reason:#}): running `cargo xtask setup` first");
    install::ours(&Setup::default())
}
