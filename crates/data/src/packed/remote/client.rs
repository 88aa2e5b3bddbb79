//! Requests over HTTP(S), repeated where repeating may help.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use ureq::Body;
use ureq::http::{Response, StatusCode};

use super::settings::RemoteSettings;
use super::trust::tls_config;
use crate::{Error, Result};

/// Longest wait between two attempts, in seconds.
const MOST_WAIT: f64 = 30.0;
/// An attempt may take the time-out once for each so many bytes.
const PACE: u64 = 1 << 20;
/// Connections to a server that wait for the next request.
const IDLE: usize = 64;

/// Asks servers.
#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    settings: RemoteSettings,
}

/// What a server says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Bytes of the file.
    pub(super) length: u64,
    /// What changes when the file does; empty where the server has nothing such.
    pub(super) tag: String,
    /// Whether parts of it can be had.
    pub(super) ranges: bool,
}

/// Why an attempt failed.
struct Failure {
    reason: String,
    /// Whether the next attempt may do better.
    passes: bool,
}

type Attempt<T> = std::result::Result<T, Failure>;

impl Client {
    /// # Errors
    /// As [`tls_config`].
    pub(super) fn new(settings: RemoteSettings) -> Result<Self> {
        let timeout = Some(Duration::from_secs_f64(settings.timeout_s));
        let config = ureq::Agent::config_builder()
            .tls_config(tls_config()?)
            .http_status_as_error(false)
            .max_idle_connections(IDLE)
            .max_idle_connections_per_host(IDLE)
            .timeout_resolve(timeout)
            .timeout_connect(timeout)
            .timeout_per_read(timeout)
            .timeout_recv_response(timeout);
        Ok(Self { agent: config.build().into(), settings })
    }

    /// Length of the file at `address`, and whether parts of it can be had.
    ///
    /// # Errors
    /// [`Error::Fetch`].
    pub(super) fn facts(&self, address: &str) -> Result<Facts> {
        self.attempts(address, || {
            let answer = self.ask(address, Some((0, 1)), 1)?;
            let tag = tag(&answer);
            match answer.status() {
                StatusCode::PARTIAL_CONTENT => {
                    let (_, length) = range_of(&answer)?;
                    // Read to its end, so that the connection serves the next request.
                    let mut byte = Vec::new();
                    let _ = answer.into_body().into_reader().take(2).read_to_end(&mut byte);
                    Ok(Facts { length, tag, ranges: true })
                }
                StatusCode::OK => {
                    let length = answer.body().content_length();
                    let none = || Failure::last("expected the length of the file, found none");
                    Ok(Facts { length: length.ok_or_else(none)?, tag, ranges: false })
                }
                other => Err(Failure::of(other)),
            }
        })
    }

    /// The bytes of the file at `address` from `start` on. What came before an attempt failed
    /// counts: the next one asks for the rest.
    ///
    /// # Errors
    /// [`Error::Fetch`].
    pub(super) fn range(&self, address: &str, start: u64, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.attempts(address, || {
            let have = bytes.len() as u64;
            let (from, rest) = (start + have, length - have);
            let answer = self.ask(address, Some((from, rest)), rest)?;
            if answer.status() != StatusCode::PARTIAL_CONTENT {
                return Err(Failure::of(answer.status()));
            }
            if range_of(&answer)?.0 != from {
                let found = header(&answer, "content-range");
                return Err(Failure::last(format!("expected bytes from {from}, found {found}")));
            }
            let read = answer.into_body().into_reader().take(rest).read_to_end(&mut bytes);
            match (read, bytes.len() as u64 == length) {
                (_, true) => Ok(()),
                (Ok(_), false) => Err(Failure::short(bytes.len() as u64, length)),
                (Err(error), false) => {
                    let reason = format!("after {} of {length} bytes: {error}", bytes.len());
                    Err(Failure { reason, passes: true })
                }
            }
        })?;
        Ok(bytes)
    }

    /// The whole file at `address`, if it is there and has at most `most` bytes.
    ///
    /// # Errors
    /// [`Error::Fetch`].
    pub(super) fn optional(&self, address: &str, most: u64) -> Result<Option<Vec<u8>>> {
        self.attempts(address, || {
            let answer = self.ask(address, None, most)?;
            if answer.status().is_client_error() && !passes(answer.status()) {
                return Ok(None);
            }
            if answer.status() != StatusCode::OK {
                return Err(Failure::of(answer.status()));
            }
            let mut bytes = Vec::new();
            let mut body = answer.into_body().into_reader().take(most + 1);
            body.read_to_end(&mut bytes).map_err(|error| Failure::again(&error))?;
            Ok((bytes.len() as u64 <= most).then_some(bytes))
        })
    }

    /// Writes the whole file of `length` bytes at `address` to what `open` gives for each attempt.
    ///
    /// # Errors
    /// [`Error::Fetch`], and what writing causes.
    pub(super) fn download<W: Write>(
        &self,
        address: &str,
        length: u64,
        mut open: impl FnMut() -> Result<W>,
    ) -> Result<W> {
        let mut failed = None;
        let written = self.attempts(address, || {
            let answer = self.ask(address, None, length)?;
            if answer.status() != StatusCode::OK {
                return Err(Failure::of(answer.status()));
            }
            let mut to = open().map_err(|error| {
                failed = Some(error);
                Failure::last("no file to write to")
            })?;
            let mut body = answer.into_body().into_reader().take(length + 1);
            let copied = std::io::copy(&mut body, &mut to);
            let copied = copied.map_err(|error| Failure::again(&error))?;
            if copied == length { Ok(to) } else { Err(Failure::short(copied, length)) }
        });
        failed.map_or(written, Err)
    }

    /// Sends one request; `bytes` says how long its answer may take.
    fn ask(&self, address: &str, range: Option<(u64, u64)>, bytes: u64) -> Attempt<Response<Body>> {
        let patience = self.settings.timeout_s * (1 + bytes.div_ceil(PACE)) as f64;
        let mut request = self.agent.get(address);
        if let Some((start, length)) = range {
            request = request.header("Range", format!("bytes={start}-{}", start + length - 1));
        }
        let patience = Duration::from_secs_f64(patience);
        // No redirection takes a request from https to where anyone may read and change the answer.
        let safe = address.starts_with("https://");
        let request = request.config().https_only(safe).timeout_per_call(Some(patience)).build();
        request.call().map_err(Failure::of_call)
    }

    /// Tries until it works, what fails cannot pass, or the attempts are used up.
    fn attempts<T>(&self, address: &str, mut once: impl FnMut() -> Attempt<T>) -> Result<T> {
        let most = self.settings.retries + 1;
        let mut attempt = 1;
        loop {
            match once() {
                Ok(found) => return Ok(found),
                Err(Failure { passes: true, .. }) if attempt < most => {
                    std::thread::sleep(self.wait(attempt));
                    attempt += 1;
                }
                Err(Failure { reason, .. }) => {
                    let address = address.to_owned();
                    return Err(Error::Fetch { address, reason, attempt, most });
                }
            }
        }
    }

    fn wait(&self, attempt: u32) -> Duration {
        let seconds = self.settings.wait_s * 2_f64.powi(attempt as i32 - 1);
        Duration::from_secs_f64(seconds.min(MOST_WAIT))
    }
}

impl Failure {
    fn last(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), passes: false }
    }

    fn again(error: &dyn std::fmt::Display) -> Self {
        Self { reason: error.to_string(), passes: true }
    }

    /// A request without an answer.
    fn of_call(error: ureq::Error) -> Self {
        match error {
            // What TLS refuses, certificates above all, the next attempt finds too.
            ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => Self::last(
                format!("{error}; SSL_CERT_FILE names a file of other authorities to trust"),
            ),
            ureq::Error::RequireHttpsOnly(to) => {
                Self::last(format!("expected a redirection to https, found one to {to}"))
            }
            ureq::Error::TooManyRedirects | ureq::Error::BadUri(_) | ureq::Error::Tls(_) => {
                Self::last(error.to_string())
            }
            other => Self::again(&other),
        }
    }

    fn short(found: u64, expected: u64) -> Self {
        let reason = format!("expected {expected} bytes, found {found}: the answer was cut off");
        Self { reason, passes: true }
    }

    /// An answer of another status than was asked for.
    fn of(status: StatusCode) -> Self {
        if status == StatusCode::OK {
            return Self::last("expected a part of the file, found all of it (status 200)");
        }
        Self { reason: format!("answered with status {status}"), passes: passes(status) }
    }
}

/// Whether the next request may be answered otherwise.
fn passes(status: StatusCode) -> bool {
    let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || busy.contains(&status)
}

fn header<'a>(answer: &'a Response<Body>, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn tag(answer: &Response<Body>) -> String {
    let tags = ["etag", "last-modified"].map(|name| header(answer, name));
    tags.into_iter().find(|tag| !tag.is_empty()).unwrap_or_default().to_owned()
}

/// First byte of a part, and length of the whole file.
fn range_of(answer: &Response<Body>) -> Attempt<(u64, u64)> {
    let text = header(answer, "content-range");
    let parsed = || {
        let (part, length) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (start, _) = part.split_once('-')?;
        Some((start.trim().parse().ok()?, length.trim().parse().ok()?))
    };
    let wrong = || Failure::last(format!("expected a range of bytes and a length, found {text:?}"));
    parsed().ok_or_else(wrong)
}
