//! What does a training step cost with each balancer, over equal weights, by number of tasks?
//!
//! `cargo bench -p polyptych-benches --bench balancers` measures everything and writes
//! `docs/results/balancers-cost.json` and `.md`; with `-- --quick` behind it two methods are
//! measured for a few steps and nothing is written. Names behind `--` choose methods.
//!
//! Every method takes turns with equal weights, a few steps each, so that whatever else the machine
//! does falls on both; a ratio is one of medians. Steps are those of the trainer: data, forward and
//! backward passes, combination, clipping and optimiser.

#[path = "balancers/measure.rs"]
mod measure;
#[path = "balancers/recipe.rs"]
mod recipe;
#[path = "balancers/report.rs"]
mod report;

use polyptych_engine::{BalancerKind, balancers};

use measure::{Plan, compare};
use report::{Cell, Report};

const TASKS: [usize; 3] = [2, 4, 8];

fn main() {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| word.as_str() != "--bench").collect();
    let quick = words.iter().any(|word| word == "--quick");
    let chosen: Vec<&String> = words.iter().filter(|word| !word.starts_with("--")).collect();
    let (plan, methods) = if quick {
        (Plan { rounds: 1, steps: 2 }, vec!["mgda", "adatask"])
    } else {
        (Plan { rounds: 5, steps: 1 }, methods())
    };
    let wanted = |name: &&str| chosen.is_empty() || chosen.iter().any(|word| *word == name);
    let mut cells = Vec::new();
    for name in methods.into_iter().filter(wanted) {
        for tasks in TASKS {
            let ms = compare(name, tasks, plan);
            let cell = Cell::new(name, tasks, ms, plan.steps);
            println!("{name:<12} {tasks} tasks  {:.2} x of equal weights", cell.ratio);
            cells.push(cell);
        }
    }
    let report = Report::new(plan, cells);
    println!("{}", report.markdown());
    if !quick && chosen.is_empty() {
        report.write();
    }
}

/// Those that need more than one backward pass over losses; features that all tasks read are not
/// MTLoRA's.
fn methods() -> Vec<&'static str> {
    let more = ["famo", "gradnorm", "auto_lambda"];
    let costs = balancers().into_iter().filter(|info| match info.kind {
        BalancerKind::Loss => more.contains(&info.name),
        BalancerKind::Features => false,
        _ => true,
    });
    costs.map(|info| info.name).collect()
}
