//! `cargo xtask docs`: the documentation as a site that needs no network.
//!
//! Pages are those of `docs` and `datasets`; the reference is written from what the program says
//! about recipes and manifests, which comes from the comments in its code. mdBook draws the site.
//! It comes with the feature `book`, so that set-up does not wait for it to be compiled.

#[cfg(feature = "book")]
mod book;
pub(crate) mod flags;
#[cfg(any(feature = "book", test))]
mod gallery;
#[cfg(any(feature = "book", test))]
mod html;
mod links;
mod markdown;
#[cfg(any(feature = "book", test))]
mod reference;
#[cfg(feature = "book")]
mod site;
#[cfg(any(feature = "book", test))]
mod stage;

pub(crate) use links::{broken, unlisted};
