//! A run of many steps: its log, and its checkpoints.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use polyptych_engine::{Evaluation, Observer, Recipe, ReportOptions, StepReport, Trainer, report};
use tempfile::TempDir;

use crate::table::Table;

/// Steps that are timed at once.
const STEPS: usize = 20;

/// A small run that learns from rendered scenes.
fn small(more: &[&str]) -> Recipe {
    let settings = [
        "backbone={ name='swin_micro_patch4_window4_128', weights='none', drop_path_rate=0.0, \
         pyramid='after_blocks' }",
        "data.img_size=[32, 32]",
        "data.batch_size=2",
        "data.train=[{ dataset='scenes', seed=0, split='train', len=16, height=32, width=32 }]",
        "adapter={ method='lora', r=2, target_modules=['qkv'] }",
        "tasks.semseg={ weight=1.0, head={ name='segformer', embed_dim=8, dropout=0.0 } }",
    ];
    let settings: Vec<String> =
        settings.iter().chain(more).map(|&setting| setting.into()).collect();
    polyptych_benches::recipe("growth", &settings).expect("the recipe fits")
}

/// Ends a run after some steps.
struct Steps(usize);

impl Observer for Steps {
    fn step(&mut self, _report: &StepReport, _steps: u64) {
        self.0 = self.0.saturating_sub(1);
    }

    fn evaluated(&mut self, _step: u64, _evaluation: &Evaluation) {}

    fn stop(&self) -> bool {
        self.0 == 0
    }
}

fn go_on(run: &RefCell<Trainer>, steps: usize) {
    run.borrow_mut().run(&mut Steps(steps)).expect("the run goes on");
}

/// A run of `recipe` that has done `steps` steps.
fn begun(recipe: Recipe, steps: usize) -> (TempDir, PathBuf, RefCell<Trainer>) {
    let folder = tempfile::tempdir().expect("there is a folder for runs");
    let path = folder.path().join("run");
    let run = RefCell::new(Trainer::start(recipe, None, &path).expect("the recipe starts").0);
    go_on(&run, steps);
    (folder, path, run)
}

/// A run that has done one step, with `lines` lines of earlier ones in its log and its table.
fn long(lines: usize) -> (TempDir, PathBuf) {
    let (folder, path, run) = begun(small(&[]), 1);
    drop(run);
    repeat_line(&path.join("metrics.jsonl"), 0, lines);
    repeat_line(&path.join("metrics.csv"), 1, lines);
    (folder, path)
}

/// Puts `lines` copies of line `index` of `file` in front of it.
fn repeat_line(file: &Path, index: usize, lines: usize) {
    let own = std::fs::read_to_string(file).expect("the run has it");
    let line = own.lines().nth(index).expect("a step was done").to_owned();
    let (head, rest) = own.split_at(own.find(&line).expect("it was found there"));
    let mut file = BufWriter::new(std::fs::File::create(file).expect("the run is writable"));
    file.write_all(head.as_bytes()).expect("there is room");
    (0..lines).for_each(|_| writeln!(file, "{line}").expect("there is room"));
    file.write_all(rest.as_bytes()).and_then(|()| file.flush()).expect("there is room");
}

/// How a log grows, and the sizes of its files in words.
pub(crate) fn logs(lines: [usize; 3], rounds: usize) -> (String, String) {
    let runs = lines.map(long);
    let paths = runs.each_ref().map(|(_, path)| path.clone());
    let mut table = Table::new("lines", lines, rounds);
    let resume = |path: &Path| drop(black_box(Trainer::resume(path).expect("the run goes on")));
    table.row(
        "go on from the checkpoint",
        [&|| resume(&paths[0]), &|| resume(&paths[1]), &|| resume(&paths[2])],
    );
    let options = ReportOptions { samples: 0, device: None };
    let write = |path: &PathBuf| {
        black_box(report(std::slice::from_ref(path), &options).expect("the run is whole"));
    };
    table.row("report", [&|| write(&paths[0]), &|| write(&paths[1]), &|| write(&paths[2])]);
    let bytes = size_mb(&paths[2].join("metrics.jsonl"));
    let trainers =
        paths.each_ref().map(|path| RefCell::new(Trainer::resume(path).expect("the run goes on")));
    let [small, middle, large] = trainers.each_ref();
    table.row(
        &format!("{STEPS} steps and a checkpoint"),
        [&|| go_on(small, STEPS), &|| go_on(middle, STEPS), &|| go_on(large, STEPS)],
    );
    (table.text(), format!("{bytes:.0} MB with {} lines", lines[2]))
}

/// How the checkpoints of a run grow, and what is kept of them in words.
pub(crate) fn checkpoints(saved: [usize; 3], rounds: usize) -> (String, String) {
    let every = |steps| begun(small(&["train.save_every=1"]), steps);
    let runs = saved.map(every);
    let mut table = Table::new("checkpoints before", saved, rounds);
    let [small, middle, large] = runs.each_ref().map(|(_, _, run)| run);
    table.row(
        &format!("{STEPS} steps with a checkpoint behind each"),
        [&|| go_on(small, STEPS), &|| go_on(middle, STEPS), &|| go_on(large, STEPS)],
    );
    let mut kept = String::from("kept: ");
    for (index, (_, path, _)) in runs.iter().enumerate() {
        let (folders, bytes) = whole(&path.join("checkpoints"));
        let separator = if index == 0 { "" } else { ", " };
        write!(kept, "{separator}{folders} of {:.2} MB", bytes as f64 / 1e6).expect("text grows");
    }
    (table.text(), kept)
}

/// Folders in `folder`, and the bytes of all files in them.
fn whole(folder: &Path) -> (usize, u64) {
    let list = |path: &Path| std::fs::read_dir(path).expect("it can be listed");
    let folders = list(folder).map(|entry| entry.expect("it can be listed").path());
    let folders: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    let size = |path: &PathBuf| -> u64 {
        list(path).map(|file| file.and_then(|file| file.metadata()).map_or(0, |of| of.len())).sum()
    };
    (folders.len(), folders.iter().map(size).sum::<u64>())
}

fn size_mb(file: &Path) -> f64 {
    std::fs::metadata(file).map_or(0.0, |of| of.len() as f64 / 1e6)
}
