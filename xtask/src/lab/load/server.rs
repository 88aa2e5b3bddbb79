//! A server of ours, or the one that it is compared with.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::lab::program::Program;
use crate::process;
use crate::workspace;

/// How long a server may take to be ready.
const READY: Duration = Duration::from_secs(120);
const PEER: &str = "benches/peers/serve.py";

/// A process that answers at an address.
pub(super) struct Server {
    child: Child,
    pub(super) address: String,
    pub(super) port: u16,
}

/// A port that nobody listens on.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Server {
    pub(super) fn start(program: &Program, run: &Path, port: u16, log: &Path) -> Result<Self> {
        let mut command = program.command("serve");
        command.arg(run).args(["--addr", &format!("127.0.0.1:{port}")]);
        // A line for each of so many requests is no part of what is measured.
        command.env("RUST_LOG", "warn,polyptych_serve=error");
        Self::spawn(command, port, log)
    }

    /// The model in PyTorch, `eager` or as a `script`.
    pub(super) fn start_peer(
        python: &Path,
        (model, how): (&Path, &str),
        port: u16,
        log: &Path,
    ) -> Result<Self> {
        let mut command = Command::new(python);
        command.arg(workspace::root().join(PEER)).arg(model).arg(port.to_string()).arg(how);
        Self::spawn(command, port, log)
    }

    fn spawn(mut command: Command, port: u16, log: &Path) -> Result<Self> {
        let shown = process::shown(&command);
        let file = File::create(log).with_context(|| log.display().to_string())?;
        let child =
            command.stdout(Stdio::null()).stderr(file).spawn().with_context(|| shown.clone())?;
        let mut server = Self { child, address: format!("http://127.0.0.1:{port}"), port };
        let (began, ready) = (Instant::now(), format!("{}/v2/health/ready", server.address));
        while ureq::get(&ready).call().is_err() {
            if began.elapsed() > READY || server.child.try_wait()?.is_some() {
                bail!(
                    "`{shown}`: expected it to be ready, found: {}",
                    std::fs::read_to_string(log)?
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    /// Bytes in memory, without pages of files.
    pub(super) fn memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(&path).context(path)?;
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        Ok(kib.context("expected RssAnon in kB, found none")? * 1024)
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.kill();
    }
}
