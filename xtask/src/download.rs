//! Downloading one file from whichever of its addresses gives the right bytes.
//!
//! A transfer that is cut goes on where it stopped (`.part` beside the target), one that stalls is
//! given up, and wrong lengths or hashes move on to the next address.

mod part;
mod pull;

#[cfg(test)]
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use part::Part;
use pull::Trouble;

use crate::record;

/// A file to bring.
pub(crate) struct Download<'a> {
    /// Name of the file once it is here.
    pub(crate) file: &'a str,
    /// Addresses, the best first.
    pub(crate) urls: &'a [String],
    /// Expected SHA-256, where one is known.
    pub(crate) sha256: Option<&'a str>,
    /// Expected length, where it is known.
    pub(crate) bytes: Option<u64>,
}

/// A file that is here.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) path: PathBuf,
    /// Found by reading the file.
    pub(crate) sha256: String,
}

/// How patiently to download.
pub(crate) struct Client {
    agent: ureq::Agent,
    /// Attempts in a row at one address that bring no byte.
    attempts: u32,
    /// Before the second of these attempts; doubles each time.
    pause: Duration,
}

impl Client {
    /// Waits a minute for an answer or the next bytes, and honours the proxy of the environment.
    pub(crate) fn new() -> Client {
        Client::with(Duration::from_secs(60), Duration::from_secs(1), ureq::Agent::config_builder())
    }

    fn with(patience: Duration, pause: Duration, config: ureq::config::ConfigBuilder<ureq::typestate::AgentScope>) -> Client {
        let config = config
            .timeout_connect(Some(patience))
            .timeout_per_read(Some(patience))
            .http_status_as_error(false)
            .user_agent(concat!("polyptych-xtask/", env!("CARGO_PKG_VERSION")));
        Client { agent: config.build().new_agent(), attempts: 4, pause }
    }

    /// Brings `download` into `folder`; a whole file that is there already stays.
    pub(crate) fn fetch(&self, download: &Download, folder: &Path) -> Result<Fetched> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let target = folder.join(download.file);
        if let Ok(fetched) = accept(download, &target) {
            return Ok(fetched);
        }
        let part = Part::new(&target);
        let mut refusals = Vec::new();
        for url in download.urls {
            match self.from_address(url, download, &part, &target) {
                Ok(fetched) => return Ok(fetched),
                Err(Trouble::Here(error)) => return Err(error),
                Err(Trouble::Passing(error) | Trouble::Lasting(error)) => {
                    eprintln!("{url}: {error:#}");
                    refusals.push(format!("{url}: {error:#}"));
                }
            }
        }
        bail!("{}: no address gave it\n  {}", download.file, refusals.join("\n  "))
    }

    fn from_address(&self, url: &str, download: &Download, part: &Part, target: &Path) -> Result<Fetched, Trouble> {
        part.claim(url, download.sha256.is_some())?;
        self.whole(url, download, part)?;
        let checked = accept(download, part.path());
        let fetched = checked.map_err(|error| {
            // Going on from wrong bytes could never end well.
            part.discard().err().map_or(Trouble::Lasting(error), Trouble::Here)
        })?;
        part.promote(target)?;
        Ok(Fetched { path: target.to_path_buf(), ..fetched })
    }

    /// Pulls until the file is complete or no attempt brings anything.
    fn whole(&self, url: &str, download: &Download, part: &Part) -> Result<(), Trouble> {
        let (mut idle, mut best) = (0, part.len());
        loop {
            let error = match pull::pull(&self.agent, url, download, part) {
                Err(Trouble::Passing(error)) => error,
                outcome => return outcome,
            };
            let len = part.len();
            idle = if len > best { 0 } else { idle + 1 };
            best = best.max(len);
            if idle >= self.attempts {
                return Err(Trouble::Lasting(anyhow!("{error:#}, {idle} times without a byte")));
            }
            std::thread::sleep(self.pause * 2_u32.pow(idle));
        }
    }
}

/// Checks a complete file against what is known about it.
pub(crate) fn accept(download: &Download, path: &Path) -> Result<Fetched> {
    let found = fs::metadata(path).with_context(|| path.display().to_string())?.len();
    if let Some(expected) = download.bytes.filter(|&expected| expected != found) {
        bail!("{}: expected {expected} bytes, found {found}", download.file);
    }
    let sha256 = record::sha256(path)?;
    if let Some(expected) = download.sha256.filter(|expected| !expected.eq_ignore_ascii_case(&sha256)) {
        bail!("{}: expected SHA-256 {expected}, found {sha256}", download.file);
    }
    Ok(Fetched { path: path.to_path_buf(), sha256 })
}
