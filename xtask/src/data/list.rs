//! `cargo xtask data list`: every data set that has a manifest.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use super::home::Home;
use super::manifest::Manifest;
use crate::command::Subcommand;
use crate::workspace;

/// Every data set that has a manifest, and whether it is here
#[derive(Parser)]
#[command(name = "list")]
pub(crate) struct List {}

impl Subcommand for List {
    fn run(_: &Self) -> Result<ExitCode> {
        print!("{}", list(&workspace::root())?);
        Ok(ExitCode::SUCCESS)
    }
}

fn list(root: &Path) -> Result<String> {
    let mut lines = String::new();
    for manifest in Manifest::all(&root.join("datasets"))? {
        let state = Home::new(root, &manifest.name, None)?.state();
        let way = if manifest.archive.is_empty() { "by hand" } else { "fetch" };
        lines += &format!(
            "{:<14} {way:<8} {state}\n{:24}{}\n",
            manifest.name, "", manifest.source.licence
        );
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repositorys_manifests_are_listed() {
        let text = list(&workspace::root()).unwrap();
        for name in
            ["bsds500", "camvid", "cifar10", "cityscapes", "cub", "fashion_mnist", "retinopathy"]
        {
            assert!(text.contains(name), "{text}");
        }
    }
}
