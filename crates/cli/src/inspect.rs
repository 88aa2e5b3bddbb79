//! `polyptych inspect`: parameters of a recipe's model.

use anyhow::Result;
use polyptych_engine::ParameterSummary;

use crate::flags::InspectFlags;
use crate::output::say;
use crate::recipes;

pub(crate) fn run(flags: &InspectFlags) -> Result<()> {
    let recipe = recipes::resolve(&flags.recipe)?;
    let summary = ParameterSummary::of_recipe(&recipe)?;
    match flags.json {
        true => say!("{}", serde_json::to_string_pretty(&summary)?),
        false => say!("{}", summary.to_string().trim_end()),
    }
    Ok(())
}
