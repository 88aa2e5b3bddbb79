//! `polyptych time`: a forward pass before and after folding.

use anyhow::Result;
use polyptych_engine::{OpenRun, Spread, time};

use crate::flags::TimeFlags;
use crate::output::say;

pub(crate) fn run(flags: &TimeFlags) -> Result<()> {
    let run = OpenRun::open(&flags.run, false, flags.device.as_deref())?;
    let timing = time(&run, flags.images, flags.passes)?;
    if flags.json {
        say!("{}", serde_json::to_string_pretty(&timing)?);
        return Ok(());
    }
    let line = |form: &str, ms: Spread| {
        say!("{form:<8} {:.2} ms ({:.2} to {:.2})", ms.median, ms.low, ms.high);
    };
    say!("{} images, median of {} passes and quartiles", timing.images, timing.passes);
    line("trained", timing.adapted_ms);
    match timing.merged_ms {
        Some(ms) => line("folded", ms),
        None => say!("folded   none: {}", run.model.unmergeable().unwrap_or_default()),
    }
    Ok(())
}
