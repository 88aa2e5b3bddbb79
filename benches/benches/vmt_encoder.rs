//! What does one more task cost in VMT-Adapter's encoder? A forward pass of Swin-T by number of
//! tasks: criterion's time of each, and their ratios from interleaved passes.
//!
//! `POLYPTYCH_PAGE=docs/results/vmt-encoder.md` writes the ratios to a page of results.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group};
use polyptych_adapters::methods::vmt_adapter::VmtAdapterConfig;
use polyptych_adapters::{Form, Method};
use polyptych_backbones::{Backbone, BackboneConfig, Options};
use polyptych_benches::{Quartiles, Rounds, interleaved, machine};
use polyptych_tensor::{Device, Kind, Store, Tensor, no_grad};

const BACKBONE: &str = "swin_tiny_patch4_window7_224";
const SIZE: i64 = 224;
const BATCH: i64 = 4;
const TASKS: [usize; 4] = [1, 2, 4, 8];
/// Passes of each encoder that count.
const ROUNDS: usize = 31;
/// Largest ratio of eight tasks to one.
const GOAL: f64 = 1.1;

fn encoder(num_tasks: usize) -> Box<dyn Backbone> {
    let tasks: Vec<String> = (0..num_tasks).map(|index| format!("task{index}")).collect();
    let adapter = VmtAdapterConfig::default();
    let plan = adapter.plan(&tasks, Form::Adapted).expect("the defaults are valid");
    let store = Store::new(Device::Cpu);
    let config = BackboneConfig::from_name(BACKBONE).expect("it is timm's");
    let options = Options { features_only: true, ..Options::default() };
    let encoder = config.init(&store.root(), plan.as_ref(), options).expect("the plan fits");
    store.set_trainable(|_| false);
    encoder
}

fn pass(encoder: &dyn Backbone, images: &Tensor) {
    let out = no_grad(|| encoder.forward_intermediates(images, false)).expect("images fit");
    black_box(out);
}

fn images() -> Tensor {
    Tensor::randn([BATCH, 3, SIZE, SIZE], (Kind::Float, Device::Cpu))
}

fn each(criterion: &mut Criterion) {
    let images = images();
    let mut group = criterion.benchmark_group("vmt_encoder_swin_tiny_224px_batch4");
    group.sample_size(10);
    for num_tasks in TASKS {
        let encoder = encoder(num_tasks);
        group.bench_with_input(BenchmarkId::new("pass", num_tasks), &num_tasks, |b, _| {
            b.iter(|| pass(encoder.as_ref(), &images));
        });
    }
    group.finish();
}

/// All encoders, interleaved, as a table.
fn measured() -> String {
    let (images, encoders) = (images(), TASKS.map(encoder));
    let passes = encoders.each_ref().map(|encoder| || pass(encoder.as_ref(), &images));
    let programs = passes.each_ref().map(|pass| pass as &dyn Fn());
    table(&interleaved(&programs, ROUNDS))
}

fn table(rounds: &Rounds) -> String {
    let shown = |q: Quartiles| format!("{:.3} ({:.3} to {:.3})", q.median, q.low, q.high);
    let mut text = String::from(
        "| tasks | pass [s] | ratio to one task | ratio of time on a core |\n|---|---|---|---|\n",
    );
    for (index, num_tasks) in TASKS.iter().enumerate() {
        let (wall, core) = rounds.ratios(index, 0);
        let [seconds, wall] = [rounds.wall_s(index), wall].map(shown);
        let core = core.map_or_else(String::new, shown);
        writeln!(text, "| {num_tasks} | {seconds} | {wall} | {core} |").expect("text grows");
    }
    let (wall, core) = rounds.ratios(TASKS.len() - 1, 0);
    let ratio = core.unwrap_or(wall).median;
    let verdict = if ratio <= GOAL { "reached" } else { "missed" };
    writeln!(text, "\nGoal: 8 tasks at most {GOAL} x one task: {verdict}, {ratio:.3} x.")
        .expect("text grows");
    text
}

/// The page of results that `table` belongs to.
fn page(table: &str) -> String {
    format!(
        "# VMT-Adapter's encoder by number of tasks\n\n\
         One pass through the trunk serves all tasks; a task more costs one small product and one \
         sum at each of the four taps.\n\
         A forward pass without gradients, {BACKBONE} at {SIZE} px, batch {BATCH}, the default \
         VMT-Adapter (bottleneck d/16, modules at the taps), heads left out.\n\
         Encoders take turns, {ROUNDS} passes each; median and quartiles, ratios within a round.\n\
         The time on a core is what the kernel counts for the one thread; other work on the machine \
         changes it least, so the goal is judged by it.\n\n\
         {table}\n\
         Machine: {}.\n\
         This page was written by\n\n```console\n\
         $ OMP_NUM_THREADS=1 POLYPTYCH_PAGE=$PWD/docs/results/vmt-encoder.md cargo bench -p \
         polyptych-benches --bench vmt_encoder\n```\n",
        machine()
    )
}

criterion_group!(benches, each);

fn main() {
    // As programs do.
    polyptych_tensor::memory::keep();
    // Criterion's own passes would be the same ones once more, where only the page is wanted.
    let to = std::env::var_os("POLYPTYCH_PAGE");
    let measures = std::env::args().any(|argument| argument == "--bench");
    if measures {
        let table = measured();
        println!("{table}");
        if let Some(path) = &to {
            std::fs::write(path, page(&table)).expect("the page can be written");
        }
    }
    if to.is_none() {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}
