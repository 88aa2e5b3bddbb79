//! Downloading one file from whichever of its addresses gives the right bytes.
//!
//! A transfer that is cut goes on where it stopped (`.part` beside the target), one that stalls is
//! given up, and wrong lengths or hashes move on to the next address.

pub(crate) mod file;
mod part;
mod pull;

#[cfg(test)]
pub(crate) mod server;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use file::{Download, Fetched, accept};
use part::Part;
use pull::Trouble;

#[cfg(test)]
const PATIENCE: Duration = Duration::from_millis(300);

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

    /// For servers on the loopback address, past any proxy.
    #[cfg(test)]
    pub(crate) fn impatient() -> Client {
        Client::with(PATIENCE, Duration::from_millis(1), ureq::Agent::config_builder().proxy(None))
    }

    fn with(
        patience: Duration,
        pause: Duration,
        config: ureq::config::ConfigBuilder<ureq::typestate::AgentScope>,
    ) -> Client {
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
            match self.try_address(url, download, &part, &target) {
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

    fn try_address(
        &self,
        url: &str,
        download: &Download,
        part: &Part,
        target: &Path,
    ) -> Result<Fetched, Trouble> {
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

#[cfg(test)]
mod tests {
    use super::server::{Reply, Request, Server};
    use super::*;
    use crate::setup::record;
    use tempfile::TempDir;

    fn content() -> Vec<u8> {
        (0..200_000_u32).map(|i| (i % 1009 * (i % 1013) % 251) as u8).collect()
    }

    fn hash(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), bytes).unwrap();
        record::sha256(&dir.path().join("f")).unwrap()
    }

    struct Case {
        folder: TempDir,
        sha256: Option<String>,
        bytes: Option<u64>,
    }

    impl Case {
        fn pinned() -> Case {
            let sha256 = Some(hash(&content()));
            Case {
                folder: tempfile::tempdir().unwrap(),
                sha256,
                bytes: Some(content().len() as u64),
            }
        }

        fn unpinned() -> Case {
            Case { folder: tempfile::tempdir().unwrap(), sha256: None, bytes: None }
        }

        fn fetch(&self, urls: &[String]) -> Result<Fetched> {
            let download =
                Download { file: "f", urls, sha256: self.sha256.as_deref(), bytes: self.bytes };
            Client::impatient().fetch(&download, self.folder.path())
        }

        /// Fetches, expects the right bytes and nothing beside them.
        fn succeeds(&self, urls: &[String]) {
            let fetched = self.fetch(urls).unwrap();
            assert_eq!(fs::read(&fetched.path).unwrap(), content());
            assert_eq!(fetched.sha256, hash(&content()));
            assert_eq!(self.files(), ["f"]);
        }

        fn fails(&self, urls: &[String]) -> String {
            let error = format!("{:#}", self.fetch(urls).unwrap_err());
            assert!(!self.files().contains(&"f".to_owned()));
            error
        }

        fn files(&self) -> Vec<String> {
            let names = fs::read_dir(self.folder.path()).unwrap();
            names.map(|item| item.unwrap().file_name().to_string_lossy().into_owned()).collect()
        }
    }

    fn froms(server: &Server) -> Vec<Option<usize>> {
        server.seen().iter().map(|request| request.from).collect()
    }

    fn good() -> Server {
        Server::start(|request, _| Reply::ranged(&content(), request))
    }

    #[test]
    fn a_whole_file_comes_once() {
        let (server, case) = (good(), Case::pinned());
        case.succeeds(&[server.url("f")]);
        case.succeeds(&[server.url("f")]);
        assert_eq!(server.seen(), [Request { path: "/f".into(), from: None }]);
    }

    #[test]
    fn a_cut_transfer_goes_on_where_it_stopped() {
        let server = Server::start(|request, before| {
            let reply = Reply::ranged(&content(), request);
            if before < 2 { reply.cut(70_000) } else { reply }
        });
        Case::pinned().succeeds(&[server.url("f")]);
        assert_eq!(froms(&server), [None, Some(70_000), Some(140_000)]);
    }

    #[test]
    fn a_later_run_goes_on_too() {
        let server = Server::start(|request, before| {
            let reply = Reply::ranged(&content(), request);
            if before == 0 {
                reply.cut(70_000)
            } else if before < 6 {
                reply.cut(0)
            } else {
                reply
            }
        });
        let case = Case::unpinned();
        assert!(case.fails(&[server.url("f")]).contains("4 times without a byte"));
        case.succeeds(&[server.url("f")]);
        assert_eq!(froms(&server).last(), Some(&Some(70_000)));
    }

    #[test]
    fn a_stalled_transfer_is_given_up_and_resumed() {
        let server = Server::start(|request, before| {
            let reply = Reply::ranged(&content(), request);
            if before == 0 { reply.cut(70_000).stall(3 * PATIENCE) } else { reply }
        });
        Case::pinned().succeeds(&[server.url("f")]);
        assert_eq!(froms(&server), [None, Some(70_000)]);
    }

    #[test]
    fn a_server_that_never_answers_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = format!("http://{}/f", listener.local_addr().unwrap());
        Case::pinned().succeeds(&[silent, good().url("f")]);
    }

    #[test]
    fn a_server_that_ignores_ranges_starts_again() {
        let server = Server::start(|_, before| {
            let reply = Reply::whole(&content());
            if before == 0 { reply.cut(70_000) } else { reply }
        });
        Case::pinned().succeeds(&[server.url("f")]);
    }

    #[test]
    fn an_announced_length_that_is_wrong_moves_on() {
        let liar = Server::start(|_, _| Reply::raw("200 OK", "Content-Length: 5\r\n", &content()));
        Case::pinned().succeeds(&[liar.url("f"), good().url("f")]);
        assert!(
            Case::pinned()
                .fails(&[liar.url("f")])
                .contains("expected 200000 bytes, the server announces 5")
        );
        assert_eq!(liar.seen().len(), 2, "a lie is not asked for twice");
    }

    #[test]
    fn more_than_announced_bytes_never_arrive_whole() {
        let liar = Server::start(|request, _| {
            let from = request.from.unwrap_or(0);
            Reply::raw("200 OK", "Content-Length: 300000\r\n", &content()[from..])
        });
        let error = Case::unpinned().fails(&[liar.url("f")]);
        assert!(error.contains("of 300000"), "{error}");
    }

    #[test]
    fn without_a_length_the_bytes_are_bounded() {
        let endless =
            Server::start(|_, _| Reply::raw("200 OK", "", &[content(), content()].concat()));
        let case = Case::pinned();
        assert!(case.fails(&[endless.url("f")]).contains("the server sends more"));
        assert!(case.files().is_empty());
    }

    #[test]
    fn wrong_bytes_are_removed_and_the_next_address_is_asked() {
        let wrong = Server::start(|_, _| Reply::whole(&vec![0; content().len()]));
        Case::pinned().succeeds(&[wrong.url("f"), good().url("f")]);
        let case = Case::pinned();
        assert!(case.fails(&[wrong.url("f")]).contains("expected SHA-256"));
        assert!(case.files().is_empty());
    }

    #[test]
    fn a_missing_file_moves_on_without_asking_twice() {
        let missing =
            Server::start(|_, _| Reply::raw("404 Not Found", "Content-Length: 0\r\n", b""));
        Case::pinned().succeeds(&[missing.url("f"), good().url("f")]);
        assert_eq!(missing.seen().len(), 1);
        let busy = Server::start(|_, _| {
            Reply::raw("503 Service Unavailable", "Content-Length: 0\r\n", b"")
        });
        assert!(Case::pinned().fails(&[busy.url("f")]).contains("503"));
        assert_eq!(busy.seen().len(), 4);
    }

    #[test]
    fn a_range_that_was_not_asked_for_is_refused() {
        let liar = Server::start(|_, before| match before {
            0 => Reply::whole(&content()).cut(70_000),
            _ => Reply::raw(
                "206 Partial Content",
                "Content-Range: bytes 9-199999/200000\r\nContent-Length: 199991\r\n",
                &content()[9..],
            ),
        });
        assert!(Case::pinned().fails(&[liar.url("f")]).contains("asked for bytes from 70000 on"));
    }

    #[test]
    fn bytes_of_two_addresses_do_not_mix_without_a_hash() {
        let other = Server::start(|_, before| {
            let reply = Reply::whole(&vec![9; content().len()]);
            if before == 0 {
                reply.cut(70_000)
            } else {
                Reply::raw("404 Not Found", "Content-Length: 0\r\n", b"")
            }
        });
        let server = good();
        Case::unpinned().succeeds(&[other.url("f"), server.url("f")]);
        assert_eq!(froms(&server), [None]);
    }

    #[test]
    fn a_longer_leftover_starts_again() {
        let server = Server::start(|request, _| match request.from {
            Some(_) => Reply::raw(
                "416 Range Not Satisfiable",
                "Content-Range: bytes */200000\r\nContent-Length: 0\r\n",
                b"",
            ),
            None => Reply::whole(&content()),
        });
        let case = Case::pinned();
        fs::write(case.folder.path().join("f.part"), vec![0; 200_001]).unwrap();
        case.succeeds(&[server.url("f")]);
        let case = Case::pinned();
        fs::write(case.folder.path().join("f.part"), content()).unwrap();
        case.succeeds(&[server.url("f")]);
    }

    #[test]
    fn a_changed_file_is_fetched_anew() {
        let server = Server::start(|_, before| {
            let tag = format!("ETag: \"{}\"\r\nContent-Length: 200000\r\n", before.min(1));
            let reply = Reply::raw("200 OK", &tag, if before == 0 { &[9; 200_000] } else { b"" });
            if before == 0 { reply.cut(70_000) } else { Reply::raw("200 OK", &tag, &content()) }
        });
        Case::unpinned().succeeds(&[server.url("f")]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_stops_at_once() {
        let server = good();
        let case = Case::pinned();
        fs::create_dir(case.folder.path().join("f.part")).unwrap();
        let urls = [server.url("a"), server.url("b")];
        assert!(case.fails(&urls).contains("f.part"));
        assert!(server.seen().len() <= 1);
    }
}
