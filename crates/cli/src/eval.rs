//! `polyptych eval`: scores of a run or a merged model.

use anyhow::{Context, Result};
use polyptych_engine::{DataSets, OpenRun, evaluate};

use crate::flags::EvalFlags;
use crate::output::say;
use crate::table;

pub(crate) fn run(flags: &EvalFlags) -> Result<()> {
    let run = OpenRun::open(&flags.run, flags.best, flags.device.as_deref())?;
    let recipe = run.recipe.clone().measured_on(
        flags.manifest.as_deref(),
        flags.root.as_deref(),
        flags.split.as_deref(),
    )?;
    let loader = DataSets::open_eval(&recipe)?;
    let baselines = run.baselines.as_ref().and_then(|b| b.of(&run.recipe.task_names()));
    let evaluation = evaluate(&run.model, &loader, baselines.as_deref(), |_| ())?;
    match flags.json {
        true => say!("{}", serde_json::to_string_pretty(&evaluation)?),
        false => {
            say!("{}", table::scores(&evaluation));
            table::classes(&evaluation).iter().for_each(|classes| say!("\n{classes}"));
        }
    }
    if let Some(out) = &flags.out {
        let json = serde_json::to_string_pretty(&evaluation)?;
        std::fs::write(out, json + "\n").with_context(|| out.display().to_string())?;
    }
    Ok(())
}
