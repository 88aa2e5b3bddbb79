//! `polyptych inspect`: the ledger of a recipe's model.

use anyhow::Result;
use polyptych_engine::Ledger;

use crate::flags::InspectFlags;
use crate::output::say;
use crate::recipes;

pub(crate) fn run(flags: &InspectFlags) -> Result<()> {
    let recipe = recipes::resolve(&flags.recipe)?;
    let ledger = Ledger::of_recipe(&recipe)?;
    match flags.json {
        true => say!("{}", serde_json::to_string_pretty(&ledger)?),
        false => say!("{}", ledger.to_string().trim_end()),
    }
    Ok(())
}
