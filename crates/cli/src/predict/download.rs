//! Photographs from the network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use polyptych_engine::tls_config;

/// Larger files are refused.
const MAX_BYTES: u64 = 256 << 20;
/// Whole time of one download.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Whether `word` is an address, not a path.
pub(super) fn is_address(word: &str) -> bool {
    word.starts_with("http://") || word.starts_with("https://")
}

/// Fetches `address` into `folder`, under the last part of its path.
///
/// # Errors
/// No network, an answer that is no success, more than [`MAX_BYTES`], or `HF_HUB_OFFLINE=1`.
pub(super) fn download(address: &str, folder: &Path) -> Result<PathBuf> {
    if std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| !value.is_empty() && value != "0") {
        bail!("{address}: expected a file on disk, since HF_HUB_OFFLINE is set");
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIME_LIMIT))
        // No redirection leads from https to http.
        .https_only(address.starts_with("https://"))
        .tls_config(tls_config()?)
        .build()
        .into();
    let mut answer = agent.get(address).call().with_context(|| address.to_owned())?;
    let bytes = answer
        .body_mut()
        .with_config()
        .limit(MAX_BYTES)
        .read_to_vec()
        .with_context(|| address.to_owned())?;
    let place = unused(folder, file_name(address));
    std::fs::write(&place, bytes).with_context(|| place.display().to_string())?;
    Ok(place)
}

/// The last part of the path, without what a server or a file system could read otherwise.
fn file_name(address: &str) -> &str {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    let behind_host = path.splitn(4, '/').nth(3).unwrap_or_default();
    let name = behind_host.rsplit(['/', '\\']).next().unwrap_or_default();
    if name.trim_matches('.').is_empty() { "download" } else { name }
}

/// Two addresses may end in one name.
fn unused(folder: &Path, name: &str) -> PathBuf {
    let numbered = |number: usize| match number {
        0 => folder.join(name),
        number => folder.join(format!("{number}_{name}")),
    };
    (0..).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| folder.join(name))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn names_end_addresses() {
        for (address, name) in [
            ("https://a.org/b/c.jpg?size=3#top", "c.jpg"),
            ("http://a.org", "download"),
            ("http://a.org/", "download"),
            ("http://a.org/b/..", "download"),
        ] {
            assert_eq!(file_name(address), name, "{address}");
        }
    }

    #[test]
    fn files_are_fetched_and_failures_name_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            for status in ["200 OK", "200 OK", "404 Not Found"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).unwrap() > 0);
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
                )
                .unwrap();
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let address = format!("{host}/a/x.jpg");
        let first = download(&address, folder.path()).unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), b"abc");
        assert_eq!(first, folder.path().join("x.jpg"));
        assert_eq!(download(&address, folder.path()).unwrap(), folder.path().join("1_x.jpg"));
        let message = format!("{:#}", download(&address, folder.path()).unwrap_err());
        assert!(message.starts_with(&address) && message.contains("404"), "{message}");
        server.join().unwrap();
    }
}
