//! Settings of a server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::{Error, Result};

/// How a model is served. There is no default for the folder alone.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Folder of a run or of a merged model.
    pub run: PathBuf,
    /// Whether a run answers with its best checkpoint instead of the last one.
    pub best: bool,
    /// Device instead of the recipe's: `auto`, `cpu`, `cuda:N`.
    pub device: Option<String>,
    /// The model's name in addresses; none for the name of its recipe.
    pub name: Option<String>,
    /// Tasks that are served; empty for all.
    pub tasks: Vec<String>,
    /// Where the server listens; port 0 lets the system choose.
    pub addr: SocketAddr,
    /// What requests must carry as `Authorization: Bearer TOKEN`. Required where `addr` can be
    /// reached from other machines.
    pub token: Option<String>,
    /// Largest batch of images.
    pub batch_size: usize,
    /// How long an image waits for others.
    pub batch_delay: Duration,
    /// Most images that the server has in hand, from their first byte to their answer.
    pub queue: usize,
    /// Most bytes in the body of a request, unpacked.
    pub max_bytes: usize,
    /// Most pixels of a photograph.
    pub max_pixels: usize,
    /// How long a request may take.
    pub timeout: Duration,
    /// Whether the model is loaded anew when its folder changes.
    pub watch: bool,
}

impl ServeConfig {
    /// The model in `run` at `127.0.0.1:8000`, with all of its tasks.
    pub fn new(run: impl Into<PathBuf>) -> Self {
        Self {
            run: run.into(),
            best: false,
            device: None,
            name: None,
            tasks: Vec::new(),
            addr: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000),
            token: None,
            batch_size: 8,
            batch_delay: Duration::from_millis(2),
            queue: 64,
            max_bytes: 32 << 20,
            max_pixels: 50_000_000,
            timeout: Duration::from_secs(30),
            watch: false,
        }
    }

    /// # Errors
    /// A number that would serve nobody, or an address of others without a token.
    pub(crate) fn validate(&self) -> Result<()> {
        let numbers = [
            ("batch size", self.batch_size),
            ("queue", self.queue),
            ("most bytes", self.max_bytes),
            ("most pixels", self.max_pixels),
        ];
        if let Some((what, _)) = numbers.into_iter().find(|(_, number)| *number == 0) {
            return Err(Error::Config { what, expected: "1 or more", found: "0".into() });
        }
        if self.timeout.is_zero() {
            return Err(Error::Config {
                what: "time limit",
                expected: "some time",
                found: "0".into(),
            });
        }
        match &self.token {
            Some(token) if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) => {
                let found = "another".into();
                let expected = "letters, digits and signs of ASCII, without spaces";
                Err(Error::Config { what: "token", expected, found })
            }
            None if !self.addr.ip().is_loopback() => Err(Error::Token { addr: self.addr }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_need_a_token() {
        let mut config =
            ServeConfig { addr: "0.0.0.0:80".parse().unwrap(), ..ServeConfig::new("r") };
        let message = config.validate().unwrap_err().to_string();
        assert!(message.starts_with("0.0.0.0:80: expected a token"), "{message}");
        config.token = Some("secret".into());
        config.validate().unwrap();
        config.token = Some("two words".into());
        assert!(config.validate().unwrap_err().to_string().starts_with("token: expected letters"));
        config = ServeConfig { addr: "[::1]:80".parse().unwrap(), ..ServeConfig::new("r") };
        config.validate().unwrap();
    }

    #[test]
    fn numbers_that_serve_nobody_are_named() {
        let config = ServeConfig { queue: 0, ..ServeConfig::new("r") };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "queue: expected 1 or more, found 0"
        );
        let config = ServeConfig { timeout: Duration::ZERO, ..ServeConfig::new("r") };
        assert!(config.validate().is_err());
    }
}
