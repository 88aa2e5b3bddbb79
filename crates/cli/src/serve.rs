//! `polyptych serve`: a model that answers over HTTP.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use polyptych_serve::{Control, ServeConfig, Server};

use crate::flags::ServeFlags;
use crate::interrupt::{INTERRUPTED, Interrupt, on_interrupt};
use crate::output::{note, say};

/// Where the token stands: a flag could be read by everybody on the machine.
const TOKEN: &str = "POLYPTYCH_TOKEN";

pub(crate) fn run(flags: &ServeFlags) -> Result<()> {
    let control = controlled()?;
    let server = Server::open(config(flags))?;
    // Nobody else sets it.
    let _ = control.set(server.control());
    say!("http://{} answers for {}: {}", server.addr(), server.model(), server.tasks().join(", "));
    Ok(server.run()?)
}

fn config(flags: &ServeFlags) -> ServeConfig {
    ServeConfig {
        best: flags.best,
        device: flags.device.clone(),
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
            note!("interrupt: answering what was taken; interrupt again to leave at once");
            control.stop();
        }
        _ => std::process::exit(i32::from(INTERRUPTED)),
    };
    on_interrupt(heard).context("interrupts cannot be waited for")?;
    Ok(control)
}
