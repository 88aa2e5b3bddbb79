//! `polyptych convert`: weights of any source under timm's names.

use anyhow::{Result, bail};
use polyptych_engine::{Choice, PROBE_IMAGES, convert};

use crate::flags::ConvertFlags;
use crate::output::say;

pub(crate) fn run(flags: &ConvertFlags) -> Result<()> {
    if flags.out.exists() {
        bail!("{}: expected a new file, found one", flags.out.display());
    }
    let choice = Choice { use_ema: !flags.no_ema, key: flags.key.clone() };
    let done = convert(&flags.weights, flags.adapter.as_deref(), &choice, &flags.out)?;
    let (written, difference) = (done.written, done.difference);
    say!("{}: {written} tensors, largest difference {difference:.1e} when read back", done.source);
    match done.outputs {
        Some(worst) => say!("outputs: largest difference {worst} over {PROBE_IMAGES} images"),
        None => say!("outputs: not compared, the weights are no whole backbone"),
    }
    done.notes.iter().for_each(|note| say!("{note}"));
    if !done.left_out.is_empty() {
        say!("left out: {}", done.left_out.join(", "));
    }
    say!("{}", flags.out.display());
    Ok(())
}
