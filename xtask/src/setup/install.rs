//! `cargo xtask setup`: bring LibTorch into the per-user cache and link it as `.libtorch`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;

use crate::command::Subcommand;
use crate::setup::download::Client;
use crate::setup::download::file::Download;
use crate::setup::folder;
use crate::setup::libtorch;
use crate::setup::libtorch::pip::Pip;
use crate::setup::libtorch::platform::Platform;
use crate::setup::libtorch::user::Choice;
use crate::setup::record::Depth;
use crate::workspace;

/// Bring LibTorch into the per-user cache and link it as `.libtorch`
#[derive(Parser, Default)]
#[command(name = "setup")]
pub(crate) struct Setup {
    /// Add what an NVIDIA GPU needs (about 2.5 GB down)
    #[arg(long, conflicts_with = "archive")]
    pub(crate) cuda: bool,
    /// Take an official LibTorch zip instead of the wheels; needs no Python
    #[arg(long, value_name = "PATH|URL")]
    pub(crate) archive: Option<String>,
    /// Bring the LibTorch of another kind of machine, such as aarch64-unknown-linux-gnu, for a cross
    /// compiler, and say where it is
    #[arg(long, value_name = "TRIPLE", conflicts_with_all = ["cuda", "archive"])]
    pub(crate) target: Option<String>,
    /// Check every hash, and set up again where one differs
    #[arg(long)]
    pub(crate) force: bool,
    /// Say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Subcommand for Setup {
    fn run(flags: &Self) -> Result<ExitCode> {
        let choice = libtorch::user::choice(&workspace::root());
        if let Some(target) = &flags.target {
            return of_another(flags, Platform::of(target)?);
        }
        if choice == Choice::Ours {
            ours(flags)?;
        } else {
            println!("LibTorch: {}; nothing to set up", choice.check()?);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Sets up the LibTorch of `platform` beside that of this machine; no link leads to it.
fn of_another(flags: &Setup, platform: &'static Platform) -> Result<ExitCode> {
    let mut places = Places::new()?;
    places.home = libtorch::home::folder_of(&places.cache, platform.target);
    if !flags.dry_run {
        let _lock = folder::lock(&places.cache)?;
        folder::remove_leftovers(&places.cache)?;
        places.mend(flags, || Ok(platform))?;
        remove_if_there(&places.downloads)?;
    }
    println!("LIBTORCH={}", places.home.display());
    Ok(ExitCode::SUCCESS)
}

/// Sets up the LibTorch of the cache, whatever the user's environment says.
pub(crate) fn ours(flags: &Setup) -> Result<()> {
    let places = Places::new()?;
    if flags.dry_run {
        places.announce(flags);
        return Ok(());
    }
    let start = Instant::now();
    let _lock = folder::lock(&places.cache)?;
    folder::remove_leftovers(&places.cache)?;
    places.mend(flags, Platform::here)?;
    if flags.cuda {
        places.mend_cuda(flags)?;
    }
    // Kept until all is unpacked, so that a set-up cut short goes on where it was.
    remove_if_there(&places.downloads)?;
    libtorch::link::repoint(&places.root, &places.home)?;
    println!(
        "LibTorch {} is whole in {} ({:.0} s)",
        libtorch::home::VERSION,
        places.home.display(),
        start.elapsed().as_secs_f32()
    );
    Ok(())
}

struct Places {
    root: PathBuf,
    cache: PathBuf,
    home: PathBuf,
    downloads: PathBuf,
}

impl Places {
    fn new() -> Result<Self> {
        let cache = workspace::cache()?;
        Ok(Self {
            root: workspace::root(),
            home: libtorch::home::folder(&cache),
            downloads: cache.join("downloads"),
            cache,
        })
    }

    fn announce(&self, flags: &Setup) {
        let whole = libtorch::home::whole(&self.home, depth(flags));
        match whole {
            Ok(()) => println!("{} is whole", self.home.display()),
            Err(reason) => println!("would fill {}: {reason:#}", self.home.display()),
        }
        if flags.cuda
            && let Err(reason) = libtorch::cuda::whole(&self.home, depth(flags))
        {
            println!("would add the GPU's libraries: {reason:#}");
        }
        if let Err(reason) = libtorch::link::points_to(&self.root, &self.home) {
            println!("would link {} to it: {reason:#}", self.root.join(".libtorch").display());
        }
    }

    fn mend(&self, flags: &Setup, platform: impl Fn() -> Result<&'static Platform>) -> Result<()> {
        let Err(reason) = libtorch::home::whole(&self.home, depth(flags)) else { return Ok(()) };
        eprintln!("filling {}: {reason:#}", self.home.display());
        folder::swap(&self.home, |fresh| {
            match &flags.archive {
                Some(archive) => libtorch::archive::from_archive(&self.local(archive)?, fresh)?,
                None => {
                    let pip = Pip::of("python3", platform()?)?;
                    libtorch::wheels::from_wheels(&pip, &self.downloads, fresh)?;
                }
            }
            libtorch::cuda::keep(&self.home, fresh)
        })
    }

    fn mend_cuda(&self, flags: &Setup) -> Result<()> {
        let platform = Platform::here()?;
        let Err(reason) = libtorch::cuda::whole(&self.home, depth(flags)) else { return Ok(()) };
        eprintln!("adding the GPU's libraries: {reason:#}");
        libtorch::cuda::from_wheels(&Pip::of("python3", platform)?, &self.downloads, &self.home)
    }

    /// The archive as a local file, downloaded where it is an address.
    fn local(&self, archive: &str) -> Result<PathBuf> {
        if !archive.starts_with("http://") && !archive.starts_with("https://") {
            return Ok(PathBuf::from(archive));
        }
        let file = archive
            .rsplit('/')
            .next()
            .filter(|name| !name.is_empty())
            .context("expected an address of a file")?;
        let download = Download { file, urls: &[archive.to_owned()], sha256: None, bytes: None };
        Ok(Client::new().fetch(&download, &self.downloads)?.path)
    }
}

fn depth(flags: &Setup) -> Depth {
    if flags.force { Depth::Hashes } else { Depth::Sizes }
}

fn remove_if_there(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}
