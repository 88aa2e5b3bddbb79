//! How do start, data sets and long logs grow?
//!
//! A data set of 1, 10 and 100 thousand samples of 8 x 8 pixels: to open it, to check it, to draw the
//! order of an epoch. A run whose `metrics.jsonl` has 10^4, 10^5 and 10^6 lines: to append, to go on,
//! and to write the report. A training run from nothing to its first step: in a process of its own
//! (`process`), and once more in one that has done so (`again`). Each name ends with its size:
//! what takes ten times as long for ten times as much grows with its size and no faster.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use image::{GrayImage, RgbImage};
use polyptych_data::{Dataset, FolderDataset, Loader, LoaderConfig, Root, ValidationReport};
use polyptych_engine::{Evaluation, Observer, Recipe, ReportOptions, StepReport, Trainer, report};
use tempfile::TempDir;

const SAMPLES: [usize; 3] = [1_000, 10_000, 100_000];
const LINES: [usize; 3] = [10_000, 100_000, 1_000_000];
/// Says to this program that it is the process that is timed.
const START: &str = "POLYPTYCH_BENCH_START";

const MANIFEST: &str = r#"
name = "many"
[layout]
images = "images/{split}/{id}.png"
[splits]
train = {}
[[tasks]]
name = "semseg"
kind = "semseg"
label = "labels/{split}/{id}.png"
format = "index_png"
ignore = [255]
classes = ["sky", "ground"]
"#;

/// A folder of `len` images with labels, which are one file under many names.
fn many(len: usize) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("there is a folder for files");
    let path = |name: &str| folder.path().join(name);
    for name in ["images/train", "labels/train"] {
        std::fs::create_dir_all(path(name)).expect("the folder is writable");
    }
    let [image, label] = [path("image.png"), path("label.png")];
    RgbImage::new(8, 8).save(&image).expect("the folder is writable");
    GrayImage::from_fn(8, 8, |x, _| image::Luma([u8::from(x > 3)])).save(&label).expect("as above");
    for index in 0..len {
        // Systems limit the names of one file.
        for (from, to) in [(&image, "images"), (&label, "labels")] {
            let to = path(&format!("{to}/train/{index:06}.png"));
            std::fs::hard_link(from, &to)
                .or_else(|_| std::fs::copy(from, &to).map(drop))
                .expect("the folder is writable");
        }
    }
    let manifest = path("many.toml");
    std::fs::write(&manifest, MANIFEST).expect("the folder is writable");
    (folder, manifest)
}

fn data_sets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("data_set");
    group.sample_size(10).measurement_time(Duration::from_secs(1));
    for len in SAMPLES {
        let (folder, manifest) = many(len);
        let root = Root::new(folder.path(), false);
        let open = || FolderDataset::open(&manifest, &root, "train").expect("it was written so");
        group.throughput(Throughput::Elements(len as u64));
        group.bench_function(BenchmarkId::new("open", len), |b| b.iter(|| black_box(open())));
        group.bench_function(BenchmarkId::new("check", len), |b| {
            b.iter(|| {
                ValidationReport::of_folder(&manifest, &root, &[], &|_: &str, _, _| {})
                    .expect("it was written so")
            });
        });
        let dataset: Arc<dyn Dataset> = Arc::new(open());
        let config = LoaderConfig { shuffle: true, ..LoaderConfig::evaluation(1, [8, 8]) };
        let loader = Loader::new(dataset, config).expect("the configuration is in range");
        let mut epoch = 0;
        group.bench_function(BenchmarkId::new("first_batch_of_an_epoch", len), |b| {
            b.iter(|| {
                epoch += 1;
                loader.epoch(epoch, 0).expect("a thread starts").next()
            });
        });
    }
    group.finish();
}

/// A small run that learns from rendered scenes.
fn small() -> Recipe {
    let settings = [
        "backbone={ name='swin_micro_patch4_window4_128', weights='none', drop_path_rate=0.0, \
         pyramid='after_blocks' }",
        "data.img_size=[32, 32]",
        "data.batch_size=2",
        "data.train=[{ dataset='scenes', seed=0, split='train', len=16, height=32, width=32 }]",
        "adapter={ method='lora', r=2, target_modules=['qkv'] }",
        "tasks.semseg={ weight=1.0, head={ name='segformer', embed_dim=8, dropout=0.0 } }",
    ];
    polyptych_benches::recipe("growth", &settings.map(String::from)).expect("the recipe fits")
}

/// Ends a run after some steps, and times those behind the first.
#[derive(Default)]
struct Steps {
    left: u64,
    started: Option<Instant>,
    elapsed: Duration,
}

impl Observer for Steps {
    fn step(&mut self, _report: &StepReport, _steps: u64) {
        self.elapsed = self.started.get_or_insert_with(Instant::now).elapsed();
        self.left = self.left.saturating_sub(1);
    }

    fn evaluated(&mut self, _step: u64, _evaluation: &Evaluation) {}

    fn stop(&self) -> bool {
        self.left == 0
    }
}

fn first_step(path: &Path) -> Trainer {
    let mut run = Trainer::start(small(), None, path).expect("the recipe starts").0;
    run.run(&mut Steps { left: 1, ..Steps::default() }).expect("the run goes on");
    run
}

/// A run that has done one step, with a log of `lines` lines of earlier ones.
fn long(lines: usize) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("there is a folder for runs");
    let path = folder.path().join("run");
    drop(first_step(&path));
    let log = path.join("metrics.jsonl");
    let own = std::fs::read_to_string(&log).expect("the run has a log");
    let step = own.lines().next().expect("a step was done").to_owned();
    let mut text = String::new();
    (0..lines).for_each(|_| writeln!(text, "{step}").expect("there is memory"));
    std::fs::write(&log, text + &own).expect("the run is writable");
    let csv = path.join("metrics.csv");
    let own = std::fs::read_to_string(&csv).expect("the run has a table");
    let (head, row) = own.split_once('\n').expect("it has a head");
    let mut file = std::fs::File::create(&csv).expect("the run is writable");
    let mut rows = format!("{head}\n");
    (0..lines).for_each(|_| rows.push_str(row));
    file.write_all(rows.as_bytes()).expect("the run is writable");
    (folder, path)
}

fn logs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metrics_jsonl");
    group.sample_size(10).measurement_time(Duration::from_secs(1));
    for lines in LINES {
        let (_folder, path) = long(lines);
        group.throughput(Throughput::Elements(lines as u64));
        group.bench_function(BenchmarkId::new("resume", lines), |b| {
            b.iter(|| black_box(Trainer::resume(&path).expect("the run goes on")));
        });
        let options = ReportOptions { samples: 0, device: None };
        let runs = [path.clone()];
        group.bench_function(BenchmarkId::new("report", lines), |b| {
            b.iter(|| black_box(report(&runs, &options).expect("the run is whole")));
        });
        let mut run = Trainer::resume(&path).expect("the run goes on");
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("step_that_appends", lines), |b| {
            b.iter_custom(|steps| {
                let mut observer = Steps { left: steps + 1, ..Steps::default() };
                run.run(&mut observer).expect("the run goes on");
                observer.elapsed
            });
        });
    }
    group.finish();
}

fn start(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("there is a folder for runs");
    let mut count = 0;
    let mut next = || {
        count += 1;
        folder.path().join(format!("run{count}"))
    };
    let mut group = criterion.benchmark_group("start");
    group.sample_size(10);
    let program = std::env::current_exe().expect("the program has a path");
    group.bench_function("process", |b| {
        b.iter(|| {
            let status = Command::new(&program).env(START, next()).status();
            assert!(status.expect("the program starts").success());
        });
    });
    group.bench_function("again", |b| b.iter(|| drop(first_step(&next()))));
    group.finish();
}

criterion_group!(benches, start, data_sets, logs);

fn main() {
    if let Some(path) = std::env::var_os(START) {
        drop(first_step(Path::new(&path)));
        return;
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
