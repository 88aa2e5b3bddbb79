//! One request for the bytes that are still missing.

use std::io::{Read, Write};

use anyhow::{Context, Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::file::Download;
use super::part::Part;

/// Why bytes did not come, by what to do about it.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Worth another attempt.
    Passing(anyhow::Error),
    /// This address will not give the file.
    Lasting(anyhow::Error),
    /// No address can help: the disk is full, or a folder is missing.
    Here(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Trouble::Here(error)
    }
}

/// Appends to `part` what is missing; `Ok` once the server's whole file is there.
pub(super) fn pull(
    agent: &Agent,
    url: &str,
    download: &Download,
    part: &Part,
) -> Result<(), Trouble> {
    let have = part.len();
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
        if let Some(version) = part.version() {
            request = request.header(header::IF_RANGE, version);
        }
    }
    let response = request.call().map_err(|error| Trouble::Passing(error.into()))?;
    let answer = Answer::of(&response, part, have)?;
    if let Answer::Complete = answer {
        return Ok(());
    }
    let (start, total) = answer.extent(have);
    if let (Some(expected), Some(found)) = (download.bytes, total)
        && expected != found
    {
        return Err(Trouble::Lasting(anyhow!(
            "expected {expected} bytes, the server announces {found}"
        )));
    }
    part.remember(url, strong_etag(&response).as_deref())?;
    receive(response, download, part, start, total)
}

enum Answer {
    /// The rest follows.
    Rest { total: Option<u64> },
    /// All of it follows, from the beginning.
    All { total: Option<u64> },
    /// Nothing was missing.
    Complete,
}

impl Answer {
    fn of(response: &Response<Body>, part: &Part, have: u64) -> Result<Answer, Trouble> {
        let status = response.status();
        let range =
            || response.headers().get(header::CONTENT_RANGE)?.to_str().ok().and_then(content_range);
        match status {
            StatusCode::OK => Ok(Answer::All { total: content_length(response) }),
            StatusCode::PARTIAL_CONTENT => match range() {
                Some((Some(start), total)) if start == have => Ok(Answer::Rest { total }),
                other => Err(Trouble::Lasting(anyhow!(
                    "asked for bytes from {have} on, the server sends {other:?}"
                ))),
            },
            StatusCode::RANGE_NOT_SATISFIABLE
                if range().and_then(|(_, total)| total) == Some(have) =>
            {
                Ok(Answer::Complete)
            }
            // The bytes here are more than the server's: not its file, or not the same version.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                part.discard()?;
                Err(Trouble::Passing(anyhow!(
                    "the server has fewer than the {have} bytes that were here"
                )))
            }
            _ if status.is_server_error() || [408, 429].contains(&status.as_u16()) => {
                Err(Trouble::Passing(anyhow!("the server answers {status}")))
            }
            _ => Err(Trouble::Lasting(anyhow!("the server answers {status}"))),
        }
    }

    fn extent(&self, have: u64) -> (u64, Option<u64>) {
        match self {
            Answer::Rest { total } => (have, *total),
            Answer::All { total } => (0, *total),
            Answer::Complete => (have, Some(have)),
        }
    }
}

/// Copies the body to the part, telling the network's failures from the disk's.
fn receive(
    response: Response<Body>,
    download: &Download,
    part: &Part,
    start: u64,
    total: Option<u64>,
) -> Result<(), Trouble> {
    let mut file = part.open(start > 0)?;
    let bar = progress(download.file, start, total.or(download.bytes));
    let mut reader = response.into_body().into_reader();
    let mut buffer = vec![0; 1 << 16];
    let mut len = start;
    loop {
        let read =
            reader.read(&mut buffer).map_err(|error| Trouble::Passing(cut(error, len, total)))?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read]).with_context(|| part.path().display().to_string())?;
        len += read as u64;
        bar.set_position(len);
        if let Some(expected) = download.bytes.filter(|&expected| len > expected) {
            part.discard()?;
            return Err(Trouble::Lasting(anyhow!(
                "expected {expected} bytes, the server sends more"
            )));
        }
    }
    bar.finish_and_clear();
    match total.or(download.bytes) {
        Some(total) if len < total => {
            Err(Trouble::Passing(anyhow!("cut after {len} of {total} bytes")))
        }
        _ => Ok(()),
    }
}

fn cut(error: std::io::Error, len: u64, total: Option<u64>) -> anyhow::Error {
    let total = total.map_or_else(String::new, |total| format!(" of {total}"));
    anyhow::Error::from(error).context(format!("cut after {len}{total} bytes"))
}

fn progress(file: &str, start: u64, total: Option<u64>) -> ProgressBar {
    let style = "{prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    let bar =
        ProgressBar::new(total.unwrap_or(0)).with_prefix(file.to_owned()).with_position(start);
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn content_length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Weak tags promise too little to join two halves by.
fn strong_etag(response: &Response<Body>) -> Option<String> {
    let tag = response.headers().get(header::ETAG)?.to_str().ok()?;
    (!tag.starts_with("W/")).then(|| tag.to_owned())
}

/// Start and total of `bytes 5-9/10`, `bytes */10` or `bytes 5-9/*`.
fn content_range(value: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split('-').next().and_then(|start| start.parse().ok());
    Some((start, total.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((Some(5), Some(10))));
        assert_eq!(content_range("bytes */10"), Some((None, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(content_range("lines 5-9/10"), None);
    }
}
