//! `polyptych serve`: a model that answers over HTTP.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use polyptych_serve::{Control, ServeConfig, Server, SocketAddr};

use crate::command::Subcommand;
use crate::interrupt::{INTERRUPTED, Interrupt, on_interrupt};
use crate::log::Log;
use crate::open::OpenFlags;
use crate::output::{note, say};

/// Where the token stands: a flag could be read by everybody on the machine.
const TOKEN: &str = "POLYPTYCH_TOKEN";

/// Serve a run or a merged model over HTTP, with a page to try it; Ctrl-C and SIGTERM finish
/// accepted requests and exit, SIGHUP reloads the model
#[derive(Debug, Parser)]
#[command(
    name = "serve",
    after_help = "Examples:\n  polyptych serve runs/quickstart/merged\n  polyptych serve merged --tasks semseg,depth --addr 127.0.0.1:9000 --watch\n  POLYPTYCH_TOKEN=secret polyptych serve merged --addr 0.0.0.0:8000\n  curl --data-binary @photograph.jpg '127.0.0.1:8000/predict?tasks=depth&format=npy' -o depth.npy"
)]
pub(crate) struct Serve {
    /// Folder of a run or of a merged model; a merged one answers faster
    run: PathBuf,
    /// Serve only these tasks, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "TASK")]
    tasks: Vec<String>,
    /// Where to listen; port 0 lets the system choose. An address that is open to other machines
    /// needs a token in POLYPTYCH_TOKEN
    #[arg(long, default_value = "127.0.0.1:8000")]
    addr: SocketAddr,
    /// The model's name in addresses [default: the name of its recipe]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    open: OpenFlags,
    /// Largest batch of images
    #[arg(long, value_name = "IMAGES", default_value_t = 8)]
    batch_size: usize,
    /// How long an image waits for others, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2)]
    batch_delay: u64,
    /// Most images in progress; more requests get status 503
    #[arg(long, value_name = "IMAGES", default_value_t = 64)]
    queue: usize,
    /// Most bytes of a request
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20)]
    max_bytes: usize,
    /// Most pixels of a photograph
    #[arg(long, value_name = "PIXELS", default_value_t = 50_000_000)]
    max_pixels: usize,
    /// How long a request may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
    /// Reload the model whenever its folder changes
    #[arg(long)]
    watch: bool,
    /// Write the log as JSON, one object per line
    #[arg(long)]
    log_json: bool,
}

impl Subcommand for Serve {
    fn run(flags: &Self) -> Result<ExitCode> {
        let control = controlled()?;
        let server = Server::open(config(flags))?;
        // Nobody else sets it.
        let _ = control.set(server.control());
        say!(
            "http://{} answers for {}: {}",
            server.addr(),
            server.model(),
            server.tasks().join(", ")
        );
        server.run()?;
        Ok(ExitCode::SUCCESS)
    }

    fn log(flags: &Self) -> Option<Log> {
        Some(Log { level: "warn,polyptych_serve=info", json: flags.log_json })
    }
}

fn config(flags: &Serve) -> ServeConfig {
    ServeConfig {
        best: flags.open.best,
        device: flags.open.device.clone(),
        name: flags.name.clone(),
        tasks: flags.tasks.clone(),
        addr: flags.addr,
        token: std::env::var(TOKEN).ok().filter(|token| !token.is_empty()),
        batch_size: flags.batch_size,
        batch_delay: Duration::from_millis(flags.batch_delay),
        queue: flags.queue,
        max_bytes: flags.max_bytes,
        max_pixels: flags.max_pixels,
        timeout: Duration::from_secs(flags.timeout),
        watch: flags.watch,
        ..ServeConfig::new(&flags.run)
    }
}

/// Where interrupts find the server once it is open; before, they end the program.
fn controlled() -> Result<Arc<OnceLock<Control>>> {
    let control = Arc::new(OnceLock::<Control>::new());
    let (found, ending) = (control.clone(), AtomicBool::new(false));
    let heard = move |interrupt| match (found.get(), interrupt) {
        (Some(control), Interrupt::HangUp) => control.reload(),
        (Some(control), Interrupt::Stop) if !ending.swap(true, Ordering::Relaxed) => {
            note!("interrupt: answering accepted requests; interrupt again to exit at once");
            control.stop();
        }
        _ => std::process::exit(i32::from(INTERRUPTED)),
    };
    on_interrupt(heard).context("cannot install the signal handler")?;
    Ok(control)
}
