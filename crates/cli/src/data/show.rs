//! `polyptych data show`: samples with their labels over them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use polyptych_engine::{AugmentConfig, ContactSheet, contact_sheet};

use crate::command::Subcommand;
use crate::output::say;

/// Draw samples with their labels over them
#[derive(Debug, Parser)]
#[command(
    name = "show",
    after_help = "Examples:\n  polyptych data show mine.toml --root DIR --split val --out samples.png"
)]
pub(crate) struct Show {
    /// The manifest, such as datasets/nyud.toml
    manifest: PathBuf,
    /// Folder of the data set [default: data/NAME after the manifest]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Read images that symbolic links outside of the folder lead to
    #[arg(long)]
    follow_links: bool,
    /// The split
    #[arg(long, value_name = "NAME", default_value = "train")]
    split: String,
    /// Number of samples, at even distances
    #[arg(long, default_value_t = 4)]
    samples: usize,
    /// Longer side of each picture in pixels
    #[arg(long, default_value_t = 160)]
    side: usize,
    /// Show each sample augmented, too: a preset such as mtlora_pascal, or fields in TOML
    #[arg(long, value_name = "PRESET")]
    augment: Option<String>,
    /// Seed of the augmentation
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The picture, a PNG file
    #[arg(long, value_name = "FILE", default_value = "samples.png")]
    out: PathBuf,
}

impl Subcommand for Show {
    fn run(flags: &Self) -> Result<ExitCode> {
        let augment = flags.augment.as_deref().map(AugmentConfig::parse).transpose()?;
        let sheet = ContactSheet {
            manifest: flags.manifest.clone(),
            root: flags.root.clone(),
            follow_links: flags.follow_links,
            split: flags.split.clone(),
            samples: flags.samples,
            side: flags.side.clamp(16, 2048),
            augment,
            seed: flags.seed,
        };
        let picture = contact_sheet(&sheet)?;
        picture.save(&flags.out).with_context(|| flags.out.display().to_string())?;
        say!("{}", flags.out.display());
        Ok(ExitCode::SUCCESS)
    }
}
