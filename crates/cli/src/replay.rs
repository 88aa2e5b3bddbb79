//! `polyptych replay`: the step that ended a run, once more.

use anyhow::{Result, bail};
use polyptych_engine::{Number, StepDump, Trainer};

use crate::flags::ReplayFlags;
use crate::output::say;

pub(crate) fn run(flags: &ReplayFlags) -> Result<()> {
    let (met, recorded) = Trainer::replay(&flags.run)?;
    show(&met);
    let differences = met.differences(&recorded);
    if !differences.is_empty() {
        bail!("expected what the run recorded, found others: {}", differences.join(", "));
    }
    say!("the same as recorded");
    Ok(())
}

fn show(dump: &StepDump) {
    say!("step {}", dump.step);
    for (index, name) in &dump.samples {
        say!("sample    {index:>8}  {name}");
    }
    let numbers =
        |kind: &str, name: &str, Number(value): &Number| say!("{kind:<9} {value:>12.4e}  {name}");
    dump.losses.iter().for_each(|(name, value)| numbers("loss", name, value));
    dump.grad_norms.iter().for_each(|(name, value)| numbers("gradient", name, value));
}
