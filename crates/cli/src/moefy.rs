//! `polyptych moefy`: a backbone with its hidden units in the order of their experts.

use anyhow::{Result, bail};
use polyptych_engine::{KMeansConfig, moefy_file};

use crate::flags::MoefyFlags;
use crate::output::say;

pub(crate) fn run(flags: &MoefyFlags) -> Result<()> {
    if flags.out.exists() {
        bail!("{}: expected a new file, found one", flags.out.display());
    }
    let config = KMeansConfig { restarts: flags.restarts, seed: flags.seed, ..Default::default() };
    say!("{:<24} {:>6} {:>12} {:>12}", "layer", "units", "objective", "random split");
    moefy_file(&flags.weights, flags.experts, &config, &flags.out, |layer, _| {
        let (path, units) = (&layer.path, layer.hidden);
        say!("{path:<24} {units:>6} {:>12.2} {:>12.2}", layer.objective, layer.random_objective);
    })?;
    say!("{}", flags.out.display());
    Ok(())
}
