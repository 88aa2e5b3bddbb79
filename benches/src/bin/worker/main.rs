//! Our side of `cargo xtask bench`: prepares one case, then times it whenever a line asks for it.
//!
//! Answers each line of its input with one line of JSON, as `benches/peers/worker.py` does.

mod case;
mod inference;
mod loading;
mod options;
mod photographs;
mod rate;
mod sources;
mod training;

use std::io::BufRead;

use anyhow::{Context, Result, bail};
use clap::Parser;
use polyptych_benches::Clock;
use polyptych_engine::{memory, torch_version};
use polyptych_formats::file;
use polyptych_tensor::device;
use serde_json::{Value, json};

use case::Case;
use options::Options;

fn main() -> Result<()> {
    let options = Options::parse();
    polyptych_tensor::memory::keep();
    polyptych_tensor::set_num_threads(options.threads);
    if options.merge {
        return options.merge();
    }
    let mut case = options.prepare()?;
    if options.endless {
        loop {
            case.run()?;
        }
    }
    say(&json!({"ready": true, "versions": format!("LibTorch {}", torch_version())}));
    for line in std::io::stdin().lock().lines() {
        let answer = answer(case.as_mut(), line?.trim(), &options)?;
        say(&answer);
    }
    Ok(())
}

fn answer(case: &mut dyn Case, order: &str, options: &Options) -> Result<Value> {
    let device = device::resolve(&options.device)?;
    match order {
        "run" => {
            let clock = Clock::of_process();
            case.run()?;
            // A device works on behind the call.
            device::synchronize(device);
            let [seconds, core_seconds] = clock.elapsed();
            Ok(json!({
                "seconds": seconds,
                "core_seconds": core_seconds,
                "items": case.items(),
                "peak_bytes": memory::peak_bytes(device),
            }))
        }
        "check" => {
            let side = if options.peer { "peer" } else { "ours" };
            let path = options.folder.join(format!("{side}.safetensors"));
            let tensors = case.check()?;
            file::save(&path, &tensors, Default::default())
                .with_context(|| path.display().to_string())?;
            Ok(json!({"checked": true}))
        }
        other => bail!("expected `run` or `check`, found `{other}`"),
    }
}

fn say(message: &Value) {
    println!("{message}");
}
